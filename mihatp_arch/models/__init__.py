"""Training loops' models; importing this package registers them with BasicSR."""

from mihatp_arch.models.hat_model import HATModel
from mihatp_arch.models.mihatp_model import MiHATPModel

__all__ = ["HATModel", "MiHATPModel"]
