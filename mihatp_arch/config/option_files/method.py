"""What one method says in the table, and the values of every method that says nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SCALES = (2, 4, 8)
HR_SIZE = 192  # width of the HR patches (paper 3.1)

SAME_BUDGET = "on the data and budget of train_MiHATP_x$scale.yml."

ADAM = """
type: Adam  # paper 3.1
lr: !!float 1e-4  # paper 3.1
weight_decay: 0
betas: [0.9, 0.99]
"""

CONSTANT_RATE = "[150000]  # constant"

L1 = """
type: L1Loss
loss_weight: 1.0
reduction: mean
"""

MSE = L1.replace("L1Loss", "MSELoss")


@dataclass(frozen=True, kw_only=True)
class Method:
    """The option files of one method.

    Every text is YAML as it stands in the file, comments included. `$scale` in it becomes the scale, `$lr_size` the
    width of the LR patch (192 / scale), and `$NAME` the entry of `by_scale[NAME]` for the scale.

    Attributes:
        name: of the file (train_NAME_x4.yml) and of the experiment (NAME_x4).
        about: the comment at the head of the file.
        model_type: the model.
        network: the lines of network_g.
        network_note: a comment beside `network_g:`.
        scales: the scales at which it has a file.
        by_scale: the values that differ from scale to scale.
        network_d: the lines of network_d.
        batch_size: datasets.train.batch_size_per_gpu.
        path: more lines of `path`.
        weights_note: a comment beside path.pretrain_network_g.
        ema_decay, optimizer, milestones, total_iter, warmup_iter: as in `train`.
        pixel_opt: the lines of train.pixel_opt; pixel_note: a comment beside it.
        train: more lines of `train`.
        val_freq, keep_checkpoints: as in `val` and `logger`; without the latter, every checkpoint stays.
        benchmark: the lines below its name in the benchmark files; None: it is no row of Table 1.
        more_rows: lines after those of the method in the benchmark files: rows that test its network in another way.
    """

    name: str
    about: str
    model_type: str
    network: str
    network_note: str = ""
    scales: tuple[int, ...] = SCALES
    by_scale: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    network_d: str = ""
    batch_size: str = "8  # not in the paper"
    path: str = ""
    weights_note: str = ""
    ema_decay: str = "0.999  # not in the paper; the same for every method"
    optimizer: str = ADAM
    milestones: str = "[50000, 100000]  # paper 3.1: a tenth of the rate every 50 000 iterations"
    total_iter: str = "150000  # not in the paper: three levels of the learning rate"
    warmup_iter: str = "-1"
    pixel_opt: str = L1
    pixel_note: str = "Eq. 6, the loss of every method"
    train: str = ""
    val_freq: str = "5000"
    keep_checkpoints: str = ""
    benchmark: str | None = ""
    more_rows: str = ""


def everywhere(text: str) -> dict[int, str]:
    """An entry of `by_scale` that is the same at every scale."""
    return dict.fromkeys(SCALES, text)
