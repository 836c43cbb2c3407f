"""Are the negatives worse than SR, and does the contrastive loss pull SR towards HR? Pools beside each other.

    python benchmarks/losses/negatives.py --data FOLDER [--scale 2 4 8] [--layers 5] [--images 33] [--network FILE]

FOLDER has HR images at 40x; the middle 192×192 of each is used. LR is the area mean of HR. As SR stands an image that
is 0.8 dB better than bicubic interpolation, on the way from it to HR; the positive is the same image. With `--network`,
SR is the output of a network that spandrel knows, for one `--scale`, and the positive that for LR turned by 90°, turned
back. The feature network is VGG19 with random weights, or none with `--layers 0`. Columns:

* closer: drawn negatives, without down-up, that are nearer to HR (MSE) than an image 1 dB better than bicubic
* negatives: their mean PSNR in dB
* cosine: of the gradient of CL to that of L1, with respect to SR; mean over the images
* layer 0: the same for layer 0 alone
* step: change of PSNR in dB by a step of 1/255 (root mean square) against the gradient of CL
"""

import argparse
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean

import mihatp_arch  # noqa: F401  it mends what the imports below need

# isort: split
import torch
from basicsr.utils import get_root_logger
from torch import Tensor
from torch.nn import functional as F

from datasets_prep.slides.tiles import read_rgb
from mihatp_arch.losses.contrastive_loss import ContrastiveLoss, info_nce
from mihatp_arch.losses.vgg import PAPER_LAYERS
from mihatp_arch.training.probes.contrastive import cosine, gradient, share_closer
from mihatp_arch.transforms import IrreversiblePool

HR, DECIBEL_SR, DECIBEL_CLOSER = 192, 0.8, 1.0
ON_HR = partial(IrreversiblePool, operations_on="hr")


def growing(*, scale: int) -> IrreversiblePool:
    """On HR, with severities that grow with the scale from those of x2."""
    s = scale / 2
    severities = {
        "gaussian_blur": [0.8 * s, 3 * s],
        "defocus": [1 * s, 3 * s],
        "motion_blur": [5 * s, 15 * s],
        "gaussian_noise": [5 * s, 25 * s],
        "poisson": [0.5 * s, 1.5 * s],
        "jpeg": [max(1, 20 / s**2), 60 / s**2],
    }
    return IrreversiblePool(scale=scale, operations_on="hr", operations=severities)


POOLS: dict[str, Callable[..., IrreversiblePool]] = {"hr": ON_HR, "hr, by scale": growing, "lr": IrreversiblePool}


def patches(folder: Path, count: int) -> list[Tensor]:
    """The middle of each image, `[1, 3, HR, HR]` in [0, 1]."""
    images = [read_rgb(path) for path in sorted(folder.iterdir())[:count]]
    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 for image in images]
    return [x[..., (x.shape[2] - HR) // 2 :, (x.shape[3] - HR) // 2 :][..., :HR, :HR] for x in tensors]


def better(image: Tensor, hr: Tensor, decibel: float) -> Tensor:
    """The image on the way from `image` to `hr` whose PSNR is `decibel` higher."""
    return hr + 10 ** (-decibel / 20) * (image - hr)


def decibels(image: Tensor, hr: Tensor) -> float:
    return -10 * math.log10(float((image - hr).square().mean()))


def measure(
    hr: Tensor, pool: IrreversiblePool, loss: ContrastiveLoss | None, network: Callable[[Tensor], Tensor] | None
) -> dict[str, float]:
    """The columns for one HR patch."""
    lr = F.avg_pool2d(hr, pool.scale)
    bicubic = F.interpolate(lr, scale_factor=pool.scale, mode="bicubic").clamp(0, 1)
    sr = positive = better(bicubic, hr, DECIBEL_SR)
    if network is not None:
        with torch.no_grad():
            sr, turned = network(lr), network(torch.rot90(lr, 1, (2, 3)))
        positive = torch.rot90(turned, -1, (2, 3))
    positives, negatives = positive.unsqueeze(1), pool(hr)

    def layer_0(x: Tensor) -> Tensor:
        similarities = [F.cosine_similarity(x.flatten(1)[:, None], y.flatten(2), dim=2) for y in (positives, negatives)]
        return info_nce(*similarities, tau=0.05)

    def all_layers(x: Tensor) -> Tensor:
        return layer_0(x) if loss is None else loss(x, positives, negatives)[0]

    towards_hr, of_cl = gradient(partial(F.l1_loss, target=hr), sr), gradient(all_layers, sr)
    step = of_cl / of_cl.square().mean().sqrt() / 255
    return {
        "closer": float(share_closer(better(bicubic, hr, DECIBEL_CLOSER), negatives[:, 1:], hr)),
        "negatives": fmean(decibels(negative, hr) for negative in negatives[0, 1:]),
        "bicubic": decibels(bicubic, hr),
        "SR": decibels(sr, hr),
        "cosine": float(cosine(of_cl, towards_hr)),
        "layer 0": float(cosine(gradient(layer_0, sr), towards_hr)),
        "step": decibels(sr - step, hr) - decibels(sr, hr),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="HR images")
    parser.add_argument("--scale", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--images", type=int, default=33, help="patches that are measured")
    parser.add_argument("--layers", type=int, default=5, help="layers of VGG19, beside layer 0")
    parser.add_argument("--network", type=Path, metavar="FILE", help="weights of a network that spandrel knows")
    arguments = parser.parse_args()
    get_root_logger().setLevel(logging.ERROR)
    torch.manual_seed(0)
    features = {"weights": "random", "layers": list(PAPER_LAYERS[: arguments.layers])}
    loss = ContrastiveLoss(features=features) if arguments.layers else None
    images = patches(arguments.data, arguments.images)
    network = None
    if arguments.network is not None:
        from spandrel import ModelLoader

        network = ModelLoader(device="cpu").load_from_file(arguments.network).model.eval()
    for scale in arguments.scale:
        for name, pool in POOLS.items():
            torch.manual_seed(0)
            rows = [measure(hr, pool(scale=scale), loss, network) for hr in images]
            means = {column: fmean(row[column] for row in rows) for column in rows[0]}
            print(f"x{scale} {name:14}", *(f"{column} {value:+.3f}" for column, value in means.items()), flush=True)


if __name__ == "__main__":
    main()
