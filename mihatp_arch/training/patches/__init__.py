"""The functions of BasicSR that this package replaces: one table, and the function that applies it."""

from mihatp_arch.training.patches.apply import apply_patches

__all__ = ["apply_patches"]
