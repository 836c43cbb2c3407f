"""Windows over an image of any size: each pixel comes from the window that has it, and the border is mirrored."""

import numpy as np
import pytest
import torch

from mihatp_arch.nuclei.predict import predict


class Echo:
    """A network whose maps are the red, green and blue of its input, without the margin."""

    margin = 3

    def __call__(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        inner = images[..., 3:-3, 3:-3]
        means = torch.nn.functional.avg_pool2d(images, 7, stride=1)
        return {
            "np": torch.cat([torch.zeros_like(inner[:, :1]), inner[:, :1] / 255], 1),
            "hv": torch.cat([inner[:, 1:2], means[:, 1:2]], 1),
            "tp": torch.nn.functional.one_hot(inner[:, 2].long() % 5, 5).movedim(-1, 1).float(),
        }


@pytest.mark.parametrize(("height", "width"), [(40, 57), (10, 10), (3, 30), (1, 1)])
@pytest.mark.parametrize("batch", [1, 4])
def test_windows_lie_side_by_side(height, width, batch):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    windows = []
    maps = predict(Echo(), image, window=16, batch=batch, on_windows=windows.append)
    assert sum(windows) == -(-height // 10) * -(-width // 10)
    expected = torch.tensor(image[..., 0] / 255).sigmoid()
    assert np.allclose(maps.probability, expected, atol=1e-5)
    assert np.array_equal(maps.hv[0], image[..., 1])
    assert maps.types is not None and np.array_equal(maps.types, image[..., 2] % 5)
    mirrored = np.pad(image[..., 1].astype(float), 3, mode="reflect" if min(height, width) > 1 else "edge")
    around = np.lib.stride_tricks.sliding_window_view(mirrored, (7, 7)).mean((2, 3))
    assert np.allclose(maps.hv[1], around, atol=1e-3)
