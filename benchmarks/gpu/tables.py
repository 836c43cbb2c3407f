"""The tables of the other scripts in one process: HAT, its step, MiHATP, slides, tiles, the loader beside a step."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from branches import rows as branch_rows
from children import OWN
from comparison import Question, evaluation, infer, matrix_peaks, time_rows
from contenders import Contender, Size, build, lineup
from data import data_rows
from gpu.part import Check, Results
from machine import ROUNDS
from networks import graph_rows
from report import Row
from step import train, training
from tiles import tile_rows
from upscale import slide_rows

from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.network import Network, NetworkInfo, TorchNetwork

Maker = Callable[[], list[Row]]


def run(check: Check, results: Results) -> None:
    """One table after the other, until the time is over."""
    settings = replace(check.settings, allocators=(OWN,)).apply()
    peaks = matrix_peaks(settings, rounds=1 if check.tiny else ROUNDS)
    results.add("Matrix peak", [{"precision": name, "TFLOP/s": peak / 1e12} for name, peak in peaks.items()])
    for title, make in makers(check, peaks).items():
        if check.seconds_left < 5:
            results.add("Left out", [{"table": title, "why": "out of time"}])
            continue
        results.add(title, make())
        if check.device == "cuda":
            torch.cuda.empty_cache()


def makers(check: Check, peaks: Mapping[str, float]) -> dict[str, Maker]:
    """What makes each table, by title; the most important ones first."""
    settings = replace(check.settings, allocators=(OWN,))
    cuda, tiny = check.device == "cuda", check.tiny
    groups = settings.groups
    batches = (1,) if tiny else (16, 1)
    width, window = (16, 8) if tiny else (48, 16)
    hats = [Size(4, width, batch, groups, window) for batch in batches]
    graphs = [Contender("ours", "bf16", graphs=True)] if cuda else []
    small = Size(8, 24, 1 if tiny else 8, groups, 12)

    def step() -> list[Row]:
        contenders = lineup(check.device, others=graphs)
        return time_rows(Question(hats[0], contenders, train, training), settings, peaks)

    def inference() -> list[Row]:
        if cuda:
            return [row for size in hats for row in graph_rows(size, settings, peaks)]
        contenders = lineup(check.device)
        return [
            row for size in hats for row in time_rows(Question(size, contenders, infer, evaluation), settings, peaks)
        ]

    found: dict[str, Maker] = {
        "Inference of HAT": inference,
        "Training step of HAT": step,
        "Step of MiHATP against two peer steps": lambda: branch_rows(small, "bf16" if cuda else "fp32", settings)[0],
        "Slides: output megapixels": lambda: slide_rows(networks(check), 48 if tiny else 1792, settings),
        "The loader beside a step": lambda: data_rows(replace(small, batch=1 if tiny else 16), [0], 0.2, settings),
        "Tiles": lambda: tile_rows(Size(4, 16 if tiny else 96, 1, groups, window), [0], OWN, settings),
    }
    if tiny:  # a whole step of MiHATP takes too long on a CPU
        del found["Step of MiHATP against two peer steps"]
    return found


def networks(check: Check) -> dict[str, Network]:
    """The bundled network at x4, and HAT at full size with random weights."""
    found: dict[str, Network] = {"he-light-x4": load_network("he-light-x4", device=check.device, precision="bf16")}
    if not check.tiny:
        module, info = build("ours", Size(4, 48, 1)), NetworkInfo("HAT", 4, multiple=16)
        found["HAT"] = TorchNetwork(module, info, device=torch.device(check.device), precision="bf16")
    return found
