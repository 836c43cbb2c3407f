"""MiHATP for BasicSR: importing it registers the architectures, losses, metrics and models."""

from mihatp_arch import compat  # noqa: F401, I001  it mends what the imports below need
from mihatp_arch import archs, losses, metrics, models  # noqa: F401
