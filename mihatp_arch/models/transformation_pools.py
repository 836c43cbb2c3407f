"""The options of the two transformation pools (paper, section 2.1), and T_for and T_inv of one batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.transforms import IrreversiblePool, ReversiblePool
from mihatp_arch.transforms.reversible import Draw


@dataclass(frozen=True)
class DrawnTransforms:
    """The K_p elements of the reversible pool that were drawn for each image of a batch: T_for and T_inv of Eq. 2."""

    pool: ReversiblePool
    k_p: int
    elements: Draw

    @classmethod
    def draw(cls, pool: ReversiblePool, k_p: int, images: Tensor) -> "DrawnTransforms":
        """Draw for `images` [B, C, H, W], LR or HR, from torch's global CPU generator."""
        height, width = images.shape[-2:]
        return cls(pool, k_p, pool.draw(len(images), height=height, width=width, k=k_p))

    def t_for(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> [B·K_p, C, H, W]: each image under its K_p elements, one after the other."""
        return self.pool.apply(images.repeat_interleave(self.k_p, 0), self.elements)

    def t_inv(self, images: Tensor) -> Tensor:
        """[B·K_p, C, H, W] -> [B, K_p, C, H, W]: each image back under the inverse of its element."""
        return self.pool.invert(images, self.elements).unflatten(0, (-1, self.k_p))


def build_pools(opt: dict[str, Any]) -> tuple[int, ReversiblePool | None, IrreversiblePool | None]:
    """K_p and the two pools of the options; a pool whose section is null is None.

    Raises:
        UserError: an option of a pool is unknown or out of its range.
    """
    train_opt = opt["train"]
    k_p, reversible, irreversible = 0, None, None
    if train_opt.get("reversible_opt") is not None:
        k_p, reversible = _call(_reversible_options, train_opt["reversible_opt"], "train.reversible_opt")
    if train_opt.get("irreversible_opt") is not None:
        options = _call(_irreversible_options, train_opt["irreversible_opt"], "train.irreversible_opt")
        irreversible = IrreversiblePool(scale=opt["scale"], **options)
    return k_p, reversible, irreversible


def _reversible_options(*, k_p: int = 1, elements: Sequence[str] | None = None) -> tuple[int, ReversiblePool]:
    """The options `train.reversible_opt`: K_p and the pool."""
    if not isinstance(k_p, int) or isinstance(k_p, bool) or k_p < 1:
        raise UserError(f"train.reversible_opt.k_p: {k_p!r} is not a whole number of at least 1")
    return k_p, ReversiblePool(elements=elements)


def _irreversible_options(
    *,
    k_n: int = 4,
    operations_on: Literal["lr", "hr"] = "lr",
    operations: Mapping[str, Sequence[float] | None] | None = None,
) -> dict[str, Any]:
    """The options `train.irreversible_opt`: those of the pool but the scale, which is the scale of the task."""
    return {"k_n": k_n, "operations_on": operations_on, "operations": operations}


def _call(target: Callable[..., Any], options: dict[str, Any], section: str) -> Any:
    """target(**options); an unknown option is an error that names `section`."""
    try:
        return target(**options)
    except TypeError as error:
        raise UserError(f"{section}: {error}") from error
