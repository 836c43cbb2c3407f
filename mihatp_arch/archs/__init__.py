"""Networks; importing this package registers them with BasicSR."""

from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.mihatp_arch import MiHATP
from mihatp_arch.archs.shisrcnet_arch import SHISRCNet
from mihatp_arch.archs.srcnn_arch import SRCNN

__all__ = ["HAT", "SRCNN", "MiHATP", "SHISRCNet"]
