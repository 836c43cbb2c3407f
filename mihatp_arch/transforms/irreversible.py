"""The irreversible transformation pool, T_irr (paper section 2.1, Eq. 3): low-quality versions of HR, the negatives.

The paper names neither its operations nor their strength. These operations imitate the artefacts of slide scanning and
of coarse sampling. Where BasicSR or kornia has an operator, it is used.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from basicsr.utils.diffjpeg import DiffJPEG
from torch import Tensor
from torch.nn import functional as F

from mihatp_arch.errors import UserError
from mihatp_arch.transforms.blur import defocus, gaussian_blur, motion_blur, uniform
from mihatp_arch.transforms.choices import check_choice


def gaussian_noise(x: Tensor, low: float, high: float) -> Tensor:
    """Sensor noise with standard deviation U[low, high] / 255."""
    from basicsr.data.degradations import add_gaussian_noise_pt  # brings scipy.stats

    sigma: Any = uniform(x.shape[0], low, high).to(x)  # BasicSR annotates a number, but takes one per sample
    return add_gaussian_noise_pt(x, sigma=sigma)


def poisson(x: Tensor, low: float, high: float) -> Tensor:
    """Shot noise for as many photons as the image has grey values; the noise is multiplied by U[low, high]."""
    from basicsr.data.degradations import add_poisson_noise_pt  # brings scipy.stats

    scale: Any = uniform(x.shape[0], low, high).to(x)
    return add_poisson_noise_pt(x, scale=scale)


def stain_jitter(x: Tensor, low: float, high: float) -> Tensor:
    """Each stain's optical density changes by a factor 1 + U[low, high], in the HED space of Ruifrok and Johnston."""
    from skimage.color import rgb_from_hed  # brings scipy

    stains = torch.as_tensor(rgb_from_hed).to(x)
    change = 1 + uniform(3 * x.shape[0], low, high).to(x).view(-1, 3, 1, 1)
    density = -x.clamp_min(1 / 255).log()
    concentration = torch.einsum("bchw,cs->bshw", density, torch.linalg.inv(stains))
    return torch.einsum("bshw,sc->bchw", concentration * change, stains).neg().exp()


@dataclass(frozen=True)
class Jpeg:
    """JPEG compression with quality U[low, high]."""

    codec: DiffJPEG

    @classmethod
    def build(cls) -> "Jpeg":
        """An operation with a codec of its own."""
        # A copy: the codec's tables are globals of its module, and moving this codec to a device must not move them.
        return cls(copy.deepcopy(DiffJPEG(differentiable=False)).requires_grad_(False))

    def __call__(self, x: Tensor, low: float, high: float) -> Tensor:
        height, width = x.shape[-2:]
        # The codec itself would pad blocks with black, which causes ringing inside the image.
        whole = F.pad(x, (0, -width % 16, 0, -height % 16), mode="replicate")
        compressed = self.codec.to(x.device)(whole, quality=uniform(x.shape[0], low, high).to(x))
        return compressed[..., :height, :width]


@dataclass(frozen=True)
class DownUp:
    """The information of the LR image: antialiased bicubic down by the scale of the task, then bicubic up."""

    scale: int

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        small = (max(1, height // self.scale), max(1, width // self.scale))
        x = F.interpolate(x, size=small, mode="bicubic", antialias=True)
        return F.interpolate(x, size=(height, width), mode="bicubic")


@dataclass(frozen=True)
class Severity:
    """The default range of an operation's severity, and its lower and upper limit."""

    low: float
    high: float
    least: float
    greatest: float = float("inf")

    def read(self, name: str, value: object) -> tuple[float, float]:
        """The range [low, high] of an option; None gives the default. Raises a UserError for any other value."""
        if value is None:
            return self.low, self.high
        if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(end, int | float) for end in value):
            low, high = float(value[0]), float(value[1])
            if self.least <= low <= high <= self.greatest:
                return low, high
        raise UserError(
            f"irreversible pool: operations: {name}: {value!r} is no range [low, high] within "
            f"[{self.least:g}, {self.greatest:g}]; the default is [{self.low:g}, {self.high:g}]"
        )


SEVERITIES = {
    "gaussian_blur": Severity(0.8, 3.0, least=0.1),  # sigma in pixels
    "defocus": Severity(1.0, 3.0, least=0.6),  # radius in pixels
    "motion_blur": Severity(5.0, 15.0, least=3.0),  # length in pixels
    "gaussian_noise": Severity(5.0, 25.0, least=0.1),  # standard deviation in 8-bit levels
    "poisson": Severity(0.5, 1.5, least=0.01),  # factor on the noise
    "jpeg": Severity(20.0, 60.0, least=1.0, greatest=100.0),  # quality
    "stain_jitter": Severity(-0.05, 0.05, least=-1.0, greatest=1.0),  # relative change of each stain
}
OFF_BY_DEFAULT = ("stain_jitter",)


class IrreversiblePool:
    """T_irr of Eq. 3: K_n negatives of each HR image, each by another operation.

    One operation is always `down_up`, which gives the image that bicubic interpolation makes of LR. The others are
    drawn without replacement, once for the whole batch; each sample has a severity of its own. Operations and
    severities come from torch's global CPU generator, noise from the generator of the images' device.

    By default they are applied to the image of `down_up`, so that every negative is worse than bicubic interpolation
    at any scale. On HR itself, most of them are better than the SR image at x4 and x8, and Eq. 9 pushes SR away from
    HR. docs/paper.md has the numbers.

    Args:
        k_n: K_n, the number of negatives of each image.
        scale: the scale of the task, for `down_up`.
        operations_on: `lr` applies the operations to the image of `down_up`, `hr` to the HR image.
        operations: the pool, as a mapping from an operation to its severity range [low, high] (None: the default);
            None takes all but stain_jitter. `down_up` has no severity and belongs to every pool. The units:
            gaussian_blur: sigma in pixels · defocus: radius in pixels · motion_blur: length in pixels ·
            gaussian_noise: standard deviation in 8-bit levels · poisson: factor on the noise · jpeg: quality ·
            stain_jitter: relative change of each stain.

    Raises:
        UserError: an operation or operations_on is unknown, a range is invalid, k_n is below 1 or above the size of the
            pool, or scale is below 2.
    """

    def __init__(
        self,
        *,
        k_n: int = 4,
        scale: int,
        operations_on: Literal["lr", "hr"] = "lr",
        operations: Mapping[str, Sequence[float] | None] | None = None,
    ) -> None:
        check_choice(operations_on, ("lr", "hr"), subject="irreversible pool: operations_on")
        if operations is None:
            operations = {name: None for name in SEVERITIES if name not in OFF_BY_DEFAULT}
        if not isinstance(operations, Mapping):
            raise UserError(f"irreversible pool: operations: {operations!r} must map each to its range, or to null")
        for name in operations:
            check_choice(name, (*SEVERITIES, "down_up"), subject="irreversible pool: operation")
        if operations.get("down_up") is not None:
            raise UserError("irreversible pool: operations: down_up takes the scale of the task and no range: say null")
        self.severities = {
            name: SEVERITIES[name].read(name, operations[name]) for name in operations if name != "down_up"
        }
        if not isinstance(k_n, int) or not 1 <= k_n <= len(self.severities) + 1:
            raise UserError(
                f"irreversible pool: k_n: {k_n!r} is not a whole number between 1 and {len(self.severities) + 1}, "
                "the size of the pool: add operations or lower it"
            )
        if scale < 2:
            raise UserError(f"irreversible pool: scale: {scale} must be 2 or more, the scale of the task")
        self.k_n, self.scale, self.operations_on = k_n, scale, operations_on
        self._down_up = DownUp(scale)
        self._operations: dict[str, Callable[[Tensor, float, float], Tensor]] = {
            "gaussian_blur": gaussian_blur,
            "defocus": defocus,
            "motion_blur": motion_blur,
            "gaussian_noise": gaussian_noise,
            "poisson": poisson,
            "jpeg": Jpeg.build(),
            "stain_jitter": stain_jitter,
        }

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(k_n={self.k_n}, scale={self.scale}, operations_on={self.operations_on!r}, "
            f"operations={self.severities})"
        )

    def draw(self) -> list[str]:
        """The K_n operations of one call: down_up, then others without replacement."""
        names = list(self.severities)
        return ["down_up", *(names[i] for i in torch.randperm(len(names))[: self.k_n - 1].tolist())]

    def apply(self, gt: Tensor, operation: str) -> Tensor:
        """The negatives of HR images `[B, 3, H, W]` in [0, 1] by one operation: the same shape, dtype and range."""
        return self._negatives(gt, [operation])[0]

    def __call__(self, gt: Tensor) -> Tensor:
        """X^N of Eq. 3: HR `[B, 3, H, W]` in [0, 1], of any size -> `[B, K_n, 3, H, W]` in [0, 1], no gradient."""
        if gt.dim() != 4 or gt.shape[1] != 3:
            raise UserError(f"irreversible pool: needs RGB images [B, 3, H, W], not {tuple(gt.shape)}")
        return torch.stack(self._negatives(gt, self.draw()), dim=1)

    @torch.no_grad()
    def _negatives(self, gt: Tensor, operations: Sequence[str]) -> list[Tensor]:
        with torch.autocast(gt.device.type, enabled=False):
            hr = gt.detach().float().contiguous()
            bicubic = self._down_up(hr).clamp(0, 1)
            source = hr if self.operations_on == "hr" else bicubic
            negatives = [
                bicubic if name == "down_up" else self._operations[name](source, *self.severities[name])
                for name in operations
            ]
        return [negative.clamp(0, 1).to(gt.dtype) for negative in negatives]
