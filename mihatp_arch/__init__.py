"""MiHATP for BasicSR: importing it registers the architectures, losses and models."""

from mihatp_arch import compat  # noqa: F401, I001  it mends what the imports below need
from mihatp_arch import archs, losses, models  # noqa: F401
