"""Whole slides: the level that fits, its tissue, a pyramidal TIFF that survives a kill, and what to trust of it."""

from mihatp_arch.inference.slides.options import SlideOptions

__all__ = ["SlideOptions"]
