"""The metrics. Importing this package registers those that BasicSR lacks; a new metric gets its line in METRIC_ROWS."""

from mihatp_arch.metrics import lpips, lr_consistency, nuclei, psnr, ssim, stain
from mihatp_arch.metrics.rows import MetricRow

# The columns of results tables, from left to right.
METRIC_ROWS: tuple[MetricRow, ...] = (
    psnr.ROW,
    ssim.ROW,
    lpips.LPIPS_ROW,
    lpips.ST_LPIPS_ROW,
    stain.HED_ERROR_ROW,
    stain.HEMATOXYLIN_RATIO_ROW,
    lr_consistency.ROW,
)

__all__ = ["METRIC_ROWS", "MetricRow", "nuclei"]
