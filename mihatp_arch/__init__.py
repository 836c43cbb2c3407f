"""MiHATP for BasicSR: importing it registers the architectures, losses, metrics and models."""

from datasets_prep.common.version import __version__  # noqa: I001  the order below matters
from mihatp_arch import compat  # noqa: F401  basicsr, which the imports below need, is importable only after it
from mihatp_arch import archs, losses, metrics, models  # noqa: F401
from mihatp_arch.training.patches import apply_patches

apply_patches()

from mihatp_arch.api import load, segment_nuclei  # noqa: E402  it builds registered networks

__all__ = ["__version__", "load", "segment_nuclei"]
