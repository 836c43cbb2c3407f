"""A small data set at x2, x4 and x8, with the splits of the option files and a few patches in each."""

from pathlib import Path

import cv2
import numpy as np
from basicsr.utils.lmdb_util import LmdbMaker

SETS = {"train": 8, "val": 1, **{f"test{number}": 2 for number in range(1, 6)}}


def picture(seed: int, width: int) -> np.ndarray:
    """Smooth random colours, [width, width, 3] uint8 BGR, which interpolation can upscale well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, width), interpolation=cv2.INTER_CUBIC)


def put(folder: Path, images: dict[str, np.ndarray]) -> None:
    """Write an LMDB with BasicSR's own maker."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    maker = LmdbMaker(str(folder), map_size=2**24)
    for key, image in images.items():
        maker.put(cv2.imencode(".png", image)[1].tobytes(), key, image.shape)
    maker.close()


def write_data(root: Path, *, width: int = 64) -> Path:
    """Write the data set into `root` and return `root`; HR patches have `width` px."""
    seed = 0
    for name, count in SETS.items():
        gt = {f"{name}-{number}": picture(seed := seed + 1, width) for number in range(count)}
        put(root / name / "HR.lmdb", gt)
        for scale in (2, 4, 8):
            small = {
                key: cv2.resize(image, (width // scale, width // scale), interpolation=cv2.INTER_AREA)
                for key, image in gt.items()
            }
            put(root / name / f"LR_x{scale}.lmdb", small)
    return root
