"""Nuclei as label maps: what a network is trained on, what becomes of its output, and how good that is.

A label map is [H, W] int32: 0 is background, each nucleus has a number of its own; numbers may be missing.
"""
