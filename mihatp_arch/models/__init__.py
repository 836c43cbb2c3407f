"""Training loops' models; importing this package registers them with BasicSR."""

from mihatp_arch.models.mihatp_model import MiHATPModel

__all__ = ["MiHATPModel"]
