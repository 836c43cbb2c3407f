"""Metrics that BasicSR lacks; importing this package registers them."""

from mihatp_arch.metrics.lpips import calculate_lpips
from mihatp_arch.metrics.lr_consistency import calculate_lr_consistency, lr_consistency
from mihatp_arch.metrics.stain import calculate_hed_error, calculate_hematoxylin_ratio

__all__ = [
    "calculate_hed_error",
    "calculate_hematoxylin_ratio",
    "calculate_lpips",
    "calculate_lr_consistency",
    "lr_consistency",
]
