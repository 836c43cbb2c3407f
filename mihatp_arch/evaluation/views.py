"""Views beside a report (`mihatp view --export`): the example patches of all methods, and the slide of the demo."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from datasets_prep.common.errors import UserError
from mihatp_arch.evaluation.report.figure import Patch
from mihatp_arch.metrics.images import BGRImage
from mihatp_viewer.export import export_scene
from mihatp_viewer.scene import open_scene

_GAP = 8  # px of LR between two patches
_QUALITY = 90  # of JPEG, for slides; patches are PNG


def view_patches(patches: Sequence[Patch], folder: Path, *, scale: int, first: Sequence[str]) -> str | None:
    """Write a view of the patches, side by side in one image for each label, as `view/`.

    Args:
        patches: all with the same labels; LR is `scale` times smaller than the others.
        folder: of the report.
        scale: of super-resolution.
        first: labels that the view shows first.

    Returns:
        The link from the report, or None where the view cannot be written (a line says why).
    """
    labels = [*first, *(label for label in list(patches[0].images)[::-1] if label not in first)]
    hr = patches[0].images["HR"].shape[0]
    rows = {label: [patch.images[label] for patch in patches] for label in labels}
    pictures = {
        label: _side_by_side(row, _GAP * (scale if row[0].shape[0] == hr else 1)) for label, row in rows.items()
    }
    return view_images(pictures, [], folder / "view", quality=None)


def view_images(
    pictures: Mapping[str, BGRImage],
    files: Sequence[Path],
    folder: Path,
    *,
    quality: int | None = _QUALITY,
    mpp: float | None = None,
) -> str | None:
    """Write a view of pictures and slides.

    Args:
        pictures: name -> [H, W, 3].
        files: slides, after the pictures.
        folder: of the view; an older view is replaced.
        quality: of JPEG; None: PNG.
        mpp: µm per pixel of the pictures.

    Returns:
        The link from the report in the folder above, or None where the view cannot be written.
    """
    with TemporaryDirectory() as temporary:
        paths = []
        for name, image in pictures.items():
            paths.append(Path(temporary) / f"{name.replace('/', ' ')}.png")
            cv2.imwrite(str(paths[-1]), image)
        try:
            with open_scene([*paths, *files], assume_mpp=mpp) as scene:
                export_scene(scene, folder, overwrite=True, quality=quality)
        except UserError as error:
            print(f"note: no view: {error}", file=sys.stderr)
            return None
    return f"{folder.name}/index.html"


def _side_by_side(images: Sequence[BGRImage], gap: int) -> BGRImage:
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] + gap for image in images) - gap
    row = np.full((height, width, 3), 255, np.uint8)
    x = 0
    for image in images:
        row[: image.shape[0], x : x + image.shape[1]] = image
        x += image.shape[1] + gap
    return row
