"""The peak signal-to-noise ratio. BasicSR computes it (`calculate_psnr`); this file describes its table row."""

from mihatp_arch.metrics.rows import MetricRow

ROW = MetricRow(
    name="psnr",
    function="calculate_psnr",
    label="PSNR",
    digits=2,
    unit="dB",
    extra_options={"test_y_channel": False},
)
