"""MiHATP for BasicSR: importing it registers the architectures, losses and models."""

from mihatp_arch import compat  # noqa: F401
