"""The relative position bias of windows, gathered from its table: in inference on a CPU once, else in each call."""

from typing import NamedTuple

import torch
from torch import Tensor

from mihatp_arch.archs.fast.calibration import in_inference


class _Gathered(NamedTuple):
    order: Tensor
    table: Tensor  # a copy
    bias: Tensor


class GatheredBias:
    """Gathers the bias, and holds the last one in inference: as many numbers as the scores of one window.

    A bias is used again as long as the table has the same numbers. New weights therefore need no notice, however they
    came into the table; the comparison takes a few microseconds.
    """

    def __init__(self) -> None:
        self._last: _Gathered | None = None

    def __call__(self, table: Tensor, index: Tensor) -> Tensor:
        """The rows of `table` `[displacements, heads]` at the index `[n, m]`: `[1, heads, n, m]`."""
        if table.device.type != "cpu" or not in_inference():
            self._last = None
            return _gather(table, index)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else table.dtype
        last = self._last
        if last is None or last.order is not index or last.bias.dtype != dtype or not torch.equal(last.table, table):
            last = self._last = _Gathered(index, table.clone(), _gather(table, index).to(dtype))
        return last.bias


def _gather(table: Tensor, index: Tensor) -> Tensor:
    return table.t().index_select(1, index.flatten()).unflatten(1, index.shape)[None]
