"""HoVer-Net over an image of any size: windows whose outputs lie side by side (the official tile inference)."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mihatp_arch.nuclei.postprocess import Maps


class NucleiNetwork(Protocol):
    """What is needed of a `HoVerNet`."""

    @property
    def margin(self) -> int: ...

    def __call__(self, images: Tensor) -> dict[str, Tensor]: ...


@torch.inference_mode()
def predict(
    network: NucleiNetwork,
    image: NDArray[np.uint8],
    *,
    window: int,
    batch: int = 1,
    bordered: bool = False,
    device: torch.device | str = "cpu",
    on_windows: Callable[[int], object] = lambda windows: None,
) -> Maps:
    """HoVer-Net's maps of an image.

    Args:
        network: a `HoVerNet` in eval mode.
        image: [H, W, 3] RGB.
        window: side of the input of the network. The official code has 270 (`original`) or 256 (`fast`); larger windows
            (8, 16, … px more) are faster, and differ a little.
        batch: windows in one call.
        bordered: the image has the `margin` of the network on each side, which the maps do not have; else its border is
            mirrored.
        device: of the network.
        on_windows: called with the number of windows that were computed.
    """
    margin, before = network.margin, 0 if bordered else network.margin
    step = window - 2 * margin
    height, width = (side - 2 * (margin - before) for side in image.shape[:2])
    rows, columns = (max(1, -(-side // step)) for side in (height, width))
    padding = [(before, count * step + margin - side) for count, side in ((rows, height), (columns, width))]
    if bordered:
        padding = [(0, after - margin) for _, after in padding]
    padded = np.pad(image, (*padding, (0, 0)), mode="reflect" if min(image.shape[:2]) > 1 else "edge")
    planes = np.empty((rows * step, columns * step, 4), np.float32)
    classified = False
    corners = [(row * step, column * step) for row in range(rows) for column in range(columns)]
    for start in range(0, len(corners), batch):
        part = corners[start : start + batch]
        windows = np.stack([padded[top : top + window, left : left + window] for top, left in part])
        outputs = network(torch.from_numpy(windows).permute(0, 3, 1, 2).to(device, torch.float32))
        classified = "tp" in outputs
        for (top, left), output in zip(part, _planes(outputs), strict=True):
            planes[top : top + step, left : left + step] = output
        on_windows(len(part))
    planes = planes[:height, :width]
    types = planes[..., 3].astype(np.uint8) if classified else None
    return Maps(np.ascontiguousarray(planes[..., 0]), np.ascontiguousarray(planes[..., 1:3].transpose(2, 0, 1)), types)


def _planes(outputs: dict[str, Tensor]) -> Iterator[NDArray[np.float32]]:
    """Probability, distances and type of each window, [h, w, 4]."""
    probability = outputs["np"].float().softmax(1)[:, 1:]
    types = outputs["tp"].argmax(1, keepdim=True) if "tp" in outputs else torch.zeros_like(probability)
    planes = torch.cat([probability, outputs["hv"].float(), types.float()], dim=1)
    yield from planes.permute(0, 2, 3, 1).cpu().numpy()
