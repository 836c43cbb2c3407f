"""Whether reading and augmenting patches keeps up with training.

    python benchmarks/data.py [--quick] [--device cuda] [--scale 8] [--workers 0 1 2]

BasicSR's PairedImageDataset over LMDBs as `mihatp prepare` writes them (192×192 patches of a synthetic image, in a
temporary folder), through BasicSR's own loader: images per second, first without a network, then in a loop of real HAT
steps, beside the same steps on one batch in memory. The difference is the wait for data. On a
GPU the share of the time in which no kernel runs is measured as well.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import mihatp_arch  # noqa: F401  it mends what the imports below need

# isort: split
import cv2
import numpy as np
import torch
from basicsr.data import build_dataloader, build_dataset
from branches import FAST, model_step
from children import with_allocator
from contenders import Size
from report import Report, Row, Settings, arguments, positive, settings
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader
from tqdm import tqdm

from datasets_prep.dataset.lmdb_writer import write_lmdb
from datasets_prep.synthetic.image import synthesize

PATCH, SIDE = 192, 2304  # 144 patches
Batch = dict[str, Any]


def write_data(folder: Path, scale: int) -> None:
    """HR and LR patches of one synthetic image."""
    image, _ = synthesize(SIDE, SIDE, seed=0)
    corners = [(y, x) for y in range(0, SIDE, PATCH) for x in range(0, SIDE, PATCH)]
    hr = {f"{y}_{x}": image[y : y + PATCH, x : x + PATCH] for y, x in corners}
    width = PATCH // scale
    write_lmdb(folder / "HR.lmdb", hr.items())
    small = ((key, cv2.resize(patch, (width, width), interpolation=cv2.INTER_AREA)) for key, patch in hr.items())
    write_lmdb(folder / "LR.lmdb", ((key, patch.astype(np.uint8, copy=False)) for key, patch in small))


def batches(folder: Path, scale: int, *, batch: int, workers: int, cuda: bool) -> Iterator[Batch]:
    """Training batches without end, through BasicSR's loader."""
    options = {
        "name": "train",
        "type": "PairedImageDataset",
        "phase": "train",
        "scale": scale,
        "dataroot_gt": str(folder / "HR.lmdb"),
        "dataroot_lq": str(folder / "LR.lmdb"),
        "io_backend": {"type": "lmdb"},
        "gt_size": PATCH,
        "use_hflip": True,
        "use_rot": True,
        "num_worker_per_gpu": workers,
        "batch_size_per_gpu": batch,
        "persistent_workers": workers > 0,
        "pin_memory": cuda,
    }
    loader: DataLoader[Batch] = build_dataloader(build_dataset(options), options, num_gpu=1, seed=0)
    while True:
        yield from loader


def rate(call: Callable[[], object], *, images: int, least: float) -> float:
    """Images per second of a call that takes so many, over at least `least` seconds."""
    start, calls = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < least or not calls:
        call()
        calls += 1
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
    return images * calls / passed


def data_rows(size: Size, workers: list[int], least: float, settings: Settings) -> list[Row]:
    """The loader alone, the step alone and both together, for each number of workers."""
    settings.apply()
    cv2.setNumThreads(1)
    cuda = settings.device == "cuda"
    model, _ = model_step("HAT", size, "bf16" if cuda else "fp32", settings, **FAST[settings.device])
    rows: list[Row] = []

    def train(data: Batch) -> None:
        model.feed_data(data)
        model.optimize_parameters(1)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, size.scale)
        for count in tqdm(workers, desc="workers", leave=False):
            loader = batches(folder, size.scale, batch=size.batch, workers=count, cuda=cuda)
            for _ in islice(loader, 2 * count + 1):  # workers start, and fill their queue
                pass
            alone = rate(lambda loader=loader: next(loader), images=size.batch, least=least)
            held = next(loader)
            train(held)
            step = rate(lambda held=held: train(held), images=size.batch, least=least)
            both = rate(lambda loader=loader: train(next(loader)), images=size.batch, least=least)
            row: dict[str, Any] = {"size": str(size), "workers": count, "loader images/s": alone}
            row |= {"per worker": alone / max(count, 1), "step images/s": step, "loader / step": alone / step}
            row |= {"step with loader images/s": both, "lost to data": 1 - both / step}
            if cuda:
                row["GPU idle"] = idle_share(lambda loader=loader: train(next(loader)))
            rows.append(row)
    return rows


def idle_share(call: Callable[[], object], calls: int = 10) -> float:
    """Share of the wall time of `calls` calls in which no kernel runs on the GPU."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
    busy = sum(event.self_device_time_total for event in recorded.key_averages()) / 1e6
    return max(0.0, 1 - busy / wall)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--scale", type=int, choices=[2, 4, 8], default=8)
    parser.add_argument("--batch", type=positive, help="images of a step (default: 8, quick: 4)")
    parser.add_argument("--workers", type=int, nargs="+", help="default: 0 1 2; quick: 0 2")
    args = parser.parse_args()
    chosen = settings(parser, args)
    workers = args.workers or ([0, 2] if args.quick else [0, 1, 2])
    if min(workers) < 0:
        parser.error("--workers: at least 0 each")
    batch = args.batch or (4 if args.quick else 8)
    if batch > (SIDE // PATCH) ** 2:
        parser.error(f"--batch: at most {(SIDE // PATCH) ** 2}, the patches that there are")
    report = Report("data", chosen)
    size = Size(args.scale, PATCH // args.scale, batch, chosen.groups, 12 if args.scale == 8 else 16)
    least = 1.0 if args.quick else 10.0
    rows = with_allocator(chosen.allocators[-1], data_rows, size, workers, least, chosen)
    report.table("Reading and augmenting beside the training step", rows)
    report.bars(rows, "loader / step", labels=["workers"])


if __name__ == "__main__":
    main()
