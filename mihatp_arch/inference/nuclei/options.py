"""What a user may choose about the segmentation of nuclei."""

import os
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.slides.protocol import SlideReader
from mihatp_arch.inference.nuclei.level import SIDE, open_image
from mihatp_arch.inference.nuclei.load import BUNDLED
from mihatp_arch.inference.slides.options import ReadOptions
from mihatp_arch.inference.slides.tissue import Frame


@dataclass(frozen=True)
class NucleiOptions(ReadOptions):
    """How slides are segmented.

    Attributes:
        assume_mpp, override_mpp, tissue, whole: as in `ReadOptions`.
        force: enlarge slides whose pixels are too large.
        weights: see `load_nuclei_network`.
        device: `auto`, `cpu`, `cuda`, …
        frame: of the outlines; None: the slide itself.
        workers: processes of the post-processing; None: one for each core but one, 8 at most.
        batch: windows in one call of the network.
        window: side of the input of the network, px; None: 560 (`fast`) or 558 (`original`).
        tile: side of the area that is post-processed at once, about, px.

    Raises:
        UserError: a value is out of range, or `whole` and `tissue` exclude one another.
    """

    weights: str | os.PathLike[str] = BUNDLED
    device: str = "auto"
    frame: Frame | None = None
    workers: int | None = None
    batch: int = 1
    window: int | None = None
    tile: int = SIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("batch", "workers", "tile"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} {value}: at least 1 is needed")

    def open(self, path: Path) -> SlideReader:
        """Open a slide or a picture. Raises `UserError`."""
        return open_image(path, assume_mpp=self.stated_mpp)
