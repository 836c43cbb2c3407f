"""Synthetic H&E: images with nuclei, and whole slides with tissue, glass, pen marks and fat, from a seed."""

from datasets_prep.synthetic.image import synthesize
from datasets_prep.synthetic.slide import write_synthetic_slide

__all__ = ["synthesize", "write_synthetic_slide"]
