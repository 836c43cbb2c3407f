"""How LR was made from HR (`area`, `bicubic`, `pyramid`): of a data set, and of the data that a network learnt from."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import reduce_patch
from datasets_prep.common.errors import UserError
from datasets_prep.common.png import decode_rgb
from datasets_prep.dataset.layout import MANIFEST
from datasets_prep.dataset.lmdb_reader import open_images
from datasets_prep.dataset.manifest import Row, lr_source_of, read_manifest
from mihatp_arch.archs.spandrel_arch import kernel_of_packaged
from mihatp_arch.checkpoints import kernel_of_weights
from mihatp_arch.config.checks.image_store import StoreError, renamed
from mihatp_arch.training.data.meta_info import read_names

_MEASURED = 5  # images that tell how LR was made where there is no record


def kernel_of_data(dataset: Mapping[str, Any], scale: int) -> str | None:
    """How LR of a data set was made from HR.

    The first of these answers: the option `kernel` of the data set; its record, the `manifest.csv` of `mihatp prepare`;
    a few of its images, read and compared.

    Args:
        dataset: the options of one data set, as below `datasets`.
        scale: HR width / LR width.

    Returns:
        `area`: the exact mean of k×k pixels. `bicubic`: MATLAB's antialiased imresize. `pyramid`: read from a coarser
        level of the slide. `area+pyramid`: both occur in the data set. None: none of them, or not known (a set without
        HR, or of another type than PairedImageDataset, or that cannot be read).
    """
    if dataset.get("kernel") is not None:
        return str(dataset["kernel"])
    if dataset.get("type") != "PairedImageDataset" or scale < 2:
        return None
    return _recorded_kernel(dataset, scale) or _measured_kernel(dataset, scale)


def kernel_of_network(options: Mapping[str, Any]) -> str | None:
    """The kernel of the data that the weights of `network_g` were trained on; None where it is not known.

    It is recorded in the file `path.pretrain_network_g`. Without such a file it is that of the weights that the network
    itself loads: `kernel` of `network_g`, for the type Spandrel.

    Args:
        options: a whole option file. For the network of an experiment, `checkpoints.kernel_of_weights` reads its
            `net_g_*.pth`.
    """
    file = (options.get("path") or {}).get("pretrain_network_g")
    if file is not None:
        return kernel_of_weights(Path(file).expanduser())
    network = options.get("network_g") or {}
    if network.get("type") != "Spandrel":
        return None
    return network.get("kernel") or kernel_of_packaged(str(network.get("file")))


def recorded_rows(dataset: Mapping[str, Any], scale: int) -> Sequence[Row]:
    """The rows of a data set in the manifest beside `<split>/HR.lmdb` and `<split>/LR_x<scale>.lmdb`; none without it.

    Args:
        dataset: the options of one data set, as below `datasets`.
        scale: HR width / LR width.
    """
    gt, lq = (Path(str(dataset.get(f"dataroot_{side}"))).expanduser() for side in ("gt", "lq"))
    if gt.parent != lq.parent or gt.stem != "HR" or lq.stem != f"LR_x{scale}":
        return ()
    manifest = gt.absolute().parents[1] / MANIFEST
    try:
        rows = _rows(manifest.parent, manifest.stat().st_mtime_ns)
    except (OSError, UserError):  # `mihatp check` reports a damaged manifest; the images tell as well
        return ()
    return [row for row in rows if row.split == gt.absolute().parent.name]


def _recorded_kernel(dataset: Mapping[str, Any], scale: int) -> str | None:
    sources = {lr_source_of(row.lr_source, scale) for row in recorded_rows(dataset, scale)}
    kernels = {"pyramid" if source.startswith("level") else source for source in sources}
    return "+".join(sorted(kernels)) or None


@lru_cache(maxsize=1)  # all data sets of a run mostly have one manifest
def _rows(folder: Path, changed: int) -> Sequence[Row]:
    """The manifest in `folder`, which was last written at `changed`."""
    return read_manifest(folder) or ()


def _measured_kernel(dataset: Mapping[str, Any], scale: int) -> str | None:
    """The kernel of a few images that lie far apart in the data set; None unless all of them agree."""
    roots = [Path(str(dataset.get(f"dataroot_{side}"))).expanduser() for side in ("gt", "lq")]
    kernels: set[str | None] = set()
    try:
        with ExitStack() as stack:
            if (dataset.get("io_backend") or {}).get("type") == "lmdb":
                readers = [stack.enter_context(open_images(root)) for root in roots]
                names, read = readers[0].names, [reader.get for reader in readers]
            else:
                listed = dataset.get("meta_info_file")
                names = read_names(listed) if listed else sorted(file.name for file in roots[0].iterdir())
                read = _readers_of_files(*roots, template=dataset.get("filename_tmpl", "{}"))
            for name in names[:: max(1, len(names) // _MEASURED)][:_MEASURED]:
                hr, lr = (decode_rgb(get(name)) for get in read)
                kernels.add(kernel_of_images(hr, lr, scale))
    except (OSError, UserError, StoreError):
        return None  # checks/data.py says why it cannot be read
    return kernels.pop() if len(kernels) == 1 else None


def _readers_of_files(gt: Path, lq: Path, *, template: str) -> list[Callable[[str], bytes]]:
    def read(folder: Path, template: str, name: str) -> bytes:
        return (folder / renamed(template, name)).read_bytes()

    return [partial(read, gt, "{}"), partial(read, lq, template)]


def kernel_of_images(hr: NDArray[np.uint8], lr: NDArray[np.uint8], scale: int) -> str | None:
    """`area` or `bicubic` where LR, [H, W, 3] uint8, is HR reduced by it; else None.

    HR is cropped to the size of LR times `scale`. `area` is any rounding of the exact mean: LR is within half a grey
    level of it. `bicubic` may differ by a grey level, because programs round it differently.
    """
    height, width, channels = lr.shape
    hr = np.ascontiguousarray(hr[: height * scale, : width * scale])
    if hr.shape != (height * scale, width * scale, channels):
        return None
    mean = hr.reshape(height, scale, width, scale, channels).mean((1, 3))
    if np.abs(lr - mean).max() <= 0.5:
        return "area"
    reduced = reduce_patch(hr, scale, kernel="bicubic").astype(np.int16)
    return "bicubic" if np.abs(lr - reduced).max() <= 1 else None
