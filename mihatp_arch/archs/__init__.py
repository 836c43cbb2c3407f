"""Networks; importing this package registers them with BasicSR."""

from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.mihatp_arch import MiHATP

__all__ = ["HAT", "MiHATP"]
