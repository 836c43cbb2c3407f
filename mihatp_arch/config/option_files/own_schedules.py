"""The schedule that each method is published with: the entries of benchmark_x<scale>_own.yml.

MultiStepLR expresses every one of them. One value cannot be expressed: the smaller learning rate of the last layer of
SRCNN. Data, networks and the other options are those of the training files.
"""

from dataclasses import dataclass
from textwrap import fill

from mihatp_arch.config.option_files.first_stages import KLF2GAN, VQF4GAN
from mihatp_arch.config.option_files.method import HR_SIZE

_STAGES = {2: KLF2GAN.name, 4: VQF4GAN.name, 8: VQF4GAN.name}


@dataclass(frozen=True, kw_only=True)
class OwnSchedule:
    """What a method is published with.

    Attributes:
        source: where it is published.
        force: `key:key=value`, or `key:key=value  # comment`.
        lr_patch: width of the LR patches of the training; None: the whole patch, 192 / scale.
        latent: whether it needs a first stage.
    """

    source: str
    force: tuple[str, ...]
    lr_patch: int | None = None
    latent: bool = False

    def entry(self, scale: int) -> str:
        """The lines below the name of the method."""
        lines = [f"first_stage: {_STAGES[scale]}  # with the losses of LDM"] if self.latent else []
        return "\n".join([*lines, "force:", *map(_line, (*self._patch(scale), *self.force))])

    def _patch(self, scale: int) -> list[str]:
        if self.lr_patch is None:
            return []
        wanted = self.lr_patch * scale
        smaller = f"  # {wanted}, but HR has {HR_SIZE}" if wanted > HR_SIZE else ""
        return [f"datasets:train:gt_size={min(wanted, HR_SIZE)}{smaller}"]


def _line(text: str) -> str:
    value, _, comment = text.partition("  # ")
    quoted = fill(f'"{value}"', 100, initial_indent="  - ", subsequent_indent="    ", break_long_words=False)
    return f"{quoted}  # {comment}" if comment else quoted


def _constant(total_iter: int, note: str = "") -> tuple[str, str]:
    return (
        f"train:scheduler={{type: MultiStepLR, milestones: [{total_iter}], gamma: 0.1}}  # constant",
        f"train:total_iter={total_iter}{note}",
    )


_FOUR_HALVINGS = (
    "datasets:train:batch_size_per_gpu=32",
    "train:optim_g={type: Adam, lr: 2.0e-4, weight_decay: 0, betas: [0.9, 0.99]}",
    "train:scheduler={type: MultiStepLR, milestones: [250000, 400000, 450000, 475000], gamma: 0.5}",
    "train:total_iter=500000",
)

# 2000 patches in batches of 4 are 500 iterations an epoch.
_EVERY_TWO_EPOCHS = ", ".join(str(iteration) for iteration in range(1000, 150_000, 1000))

OWN_SCHEDULES = {
    "SRCNN": OwnSchedule(
        source="Dong et al., TPAMI 2016, section 4.1",
        force=(
            "datasets:train:batch_size_per_gpu=4  # the pixels of 144 sub-images of 32×32; the paper has 128 of 33×33",
            "train:pixel_opt={type: MSELoss, loss_weight: 220.5, reduction: mean}  # half the sum of 21×21",
            "train:optim_g={type: SGD, lr: 1.0e-4, momentum: 0.9}  # the paper has 1e-5 for the last layer",
            *_constant(5_500_000, "  # 8·10^8 sub-images"),
            "train:ema_decay=0",
        ),
    ),
    "LDM": OwnSchedule(
        source="Rombach et al., CVPR 2022, Table 15",
        latent=True,
        force=(
            "datasets:train:batch_size_per_gpu=64",
            "train:optim_g={type: AdamW, lr: 6.4e-5, weight_decay: 0.01, betas: [0.9, 0.999]}",
            *_constant(860_000),
        ),
    ),
    "IDM": OwnSchedule(
        source="the authors' config/df2k_liifsr3_x4.json",
        force=(
            "datasets:train:batch_size_per_gpu=64",
            "train:optim_g={type: Adam, lr: 1.0e-4, betas: [0.9, 0.999]}",
            *_constant(1_500_000),
            "train:ema_decay=0  # not used there",
        ),
    ),
    "ResShift": OwnSchedule(
        source="the authors' configs/realsr_swinunet_realesrgan256.yaml",
        latent=True,
        force=(
            "datasets:train:batch_size_per_gpu=64",
            "datasets:train:use_rot=false",
            "train:optim_g={type: AdamW, lr: 5.0e-5, weight_decay: 0, betas: [0.9, 0.999]}",
            *_constant(500_000),
            "train:warmup_iter=5000",
        ),
    ),
    "SHISRCNet": OwnSchedule(
        source="the authors' train_SHISRCNet.py",
        force=(
            "datasets:train:batch_size_per_gpu=4",
            "train:optim_g={type: Adam, lr: 1.0e-3, betas: [0.9, 0.999]}",
            f"train:scheduler={{type: MultiStepLR, gamma: 0.95, milestones: [{_EVERY_TWO_EPOCHS}]}}"
            "  # every two epochs of 2000 patches",
            "train:total_iter=150000  # 300 epochs; the authors have up to 1000, but the rate is 5e-7 after 300",
            "train:ema_decay=0",
        ),
    ),
    "SwinIR": OwnSchedule(
        source="BasicSR's train_SwinIR_SRx4_scratch.yml, 8 GPUs with 4 images each", lr_patch=48, force=_FOUR_HALVINGS
    ),
    "HAT": OwnSchedule(
        source="the authors' train_HAT_SRx2_from_scratch.yml, 8 GPUs with 4 images each",
        lr_patch=64,
        force=_FOUR_HALVINGS,
    ),
}
