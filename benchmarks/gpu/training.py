"""`basicsr train` on a GPU from end to end: killed, resumed, tested; by torchrun with one GPU, by gloo on the CPU."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from gpu.part import PASSED, Check, Results, yes

OPTIONS = ("train_MiHATP_x4.yml", "overlays/tiny.yml", "overlays/tiny_MiHATP.yml", "--data", "demo")
OTHER_SETS = [f"datasets:{name}=null" for name in ("val_test1", "val_test2", "val_test3", "val_test4", "val_test5")]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1")
MODULE = ("-m", "mihatp_arch")
TITLE = "Training"


def run(check: Check, results: Results) -> None:
    """The stages in their order; a stage that fails stops those that need it."""
    folder = check.folder / "training"
    folder.mkdir(parents=True, exist_ok=True)
    cuda = check.device == "cuda"
    total = 60 if cuda else 2
    fast = ["train:precision=bf16", *(["train:compile=true", "train:cuda_graphs=true"] if cuda else [])]

    small = ["network_g:embed_dim=24", "network_g:squeeze_factor=4"] if check.tiny else []

    def arguments(command: str, name: str, *force: str) -> list[str]:
        return [command, "-opt", *OPTIONS, "--force_yml", *schedule(total, check), f"name={name}", *small, *force]

    def stage(name: str, act: Callable[[], str]) -> bool:
        start = time.monotonic()
        try:
            note, passed = act(), True
        except (subprocess.SubprocessError, RuntimeError) as failure:
            note, passed = str(failure).strip().splitlines()[-1][-300:], False
        row = {"stage": name, "s": time.monotonic() - start, PASSED: yes(passed), "note": note}
        results.add(TITLE, [row])
        return passed

    def process(*command: str, gpu: bool = True) -> str:
        return output_of([sys.executable, *command], folder, check, gpu=gpu)

    def killed() -> str:
        state = folder / "experiments" / "killed" / "training_states" / f"{total // 2}.state"
        return kill_at([sys.executable, *MODULE, *arguments("train", "killed", *fast)], folder, state, check)

    def resumed() -> str:
        process(*MODULE, *arguments("train", "killed", *fast), "--auto_resume")
        networks = [newest(folder / "experiments" / name, total) for name in ("whole", "killed")]
        return f"greatest difference of a weight from the training without a kill: {difference(*networks):.1e}"

    if not stage("train", lambda: last_loss(process(*MODULE, *arguments("train", "whole", *fast)))):
        return
    if stage("kill", killed) and stage("resume", resumed):
        stage("test", lambda: psnr(process(*MODULE, *arguments("test", "killed", *fast))))
    ddp = [*TORCHRUN, *MODULE, *arguments("train", "ddp", "train:precision=bf16"), "--launcher", "pytorch"]
    stage("torchrun, one process", lambda: last_loss(process(*ddp)))
    gloo = [*TORCHRUN, *MODULE, *arguments("train", "gloo", "num_gpu=0"), "--launcher", "pytorch"]
    stage("torchrun, gloo on the CPU", lambda: last_loss(process(*gloo, gpu=False)))


def schedule(total: int, check: Check) -> list[str]:
    """A training of `total` iterations with a state in the middle."""
    sizes = ["datasets:train:gt_size=32", "datasets:train:batch_size_per_gpu=2"]
    frequencies = [f"logger:save_checkpoint_freq={total // 2}", "logger:print_freq=1", f"val:val_freq={total}"]
    return [
        f"num_gpu={'auto' if check.device == 'cuda' else 0}",
        f"train:total_iter={total}",
        f"train:scheduler:periods=[{total}]",
        *frequencies,
        *OTHER_SETS,
        *(sizes if check.tiny else []),
    ]


def environment(*, gpu: bool) -> dict[str, str]:
    return {**os.environ, **({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})}


def output_of(command: Sequence[str], folder: Path, check: Check, *, gpu: bool) -> str:
    """What a process prints. Raises `RuntimeError` with its last line if it fails."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment(gpu=gpu),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=max(check.seconds_left, 1),
    )
    if ended.returncode:
        raise RuntimeError(f"exit code {ended.returncode}: {ended.stdout.strip()[-300:]}")
    return ended.stdout


def kill_at(command: Sequence[str], folder: Path, state: Path, check: Check) -> str:
    """Kill a training as soon as its state in the middle is there. Raises `RuntimeError` if it ends before."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not state.is_file() and process.poll() is None and check.seconds_left > 0:
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.kill()
    if not state.is_file():
        raise RuntimeError(f"no {state.name} when the training ended (exit code {process.returncode})")
    return f"killed behind {state.name}" if process.returncode else "it had ended already"


def last_loss(log: str) -> str:
    """The last loss of a log. Raises `RuntimeError` where there is none, or no number."""
    found = re.findall(r"l_\w+: ([-+.e\d]+|nan|inf)", log)
    if not found or found[-1] in ("nan", "inf"):
        raise RuntimeError(f"the last loss is {found[-1] if found else 'missing'}")
    return f"last loss {found[-1]}"


def psnr(log: str) -> str:
    """The PSNR of a test. Raises `RuntimeError` where there is none."""
    found = re.findall(r"# psnr: ([.\d]+)", log)
    if not found:
        raise RuntimeError("no PSNR in the log of the test")
    return f"PSNR {found[-1]} dB"


def newest(experiment: Path, iteration: int) -> Path:
    return experiment / "models" / f"net_g_{iteration}.pth"


def difference(one: Path, other: Path) -> float:
    """The greatest difference of a weight between two networks."""
    a, b = (torch.load(file, map_location="cpu", weights_only=True)["params"] for file in (one, other))
    return max((a[key].float() - b[key].float()).abs().max().item() for key in a)
