"""What is replaced in BasicSR: by one table, only if BasicSR is the version that is known."""

import inspect
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import basicsr.train
import basicsr.utils.options
import pytest
from basicsr.models.base_model import BaseModel

from mihatp_arch.training import distributed, resuming
from mihatp_arch.training.patches import apply_patches
from mihatp_arch.training.patches.__main__ import page
from mihatp_arch.training.patches.table import PATCHES

PAGE = Path(__file__).parents[2] / "docs" / "basicsr_patches.md"


def test_applying_twice_changes_nothing():
    replaced = basicsr.train.load_resume_state
    assert replaced.__module__ == resuming.__name__
    assert basicsr.utils.options.init_dist.__module__ == distributed.__name__
    assert BaseModel.model_to_device.__module__ == distributed.__name__
    apply_patches()
    assert basicsr.train.load_resume_state is replaced


def test_another_basicsr_is_refused_and_nothing_is_replaced(monkeypatch):
    def load_resume_state(opt, where):
        return opt, where

    rows = [patch for patch in PATCHES if patch.name in ("load_resume_state", "MessageLogger")]
    logger = type("MessageLogger", (basicsr.train.MessageLogger,), {})
    monkeypatch.setattr(basicsr.train, "load_resume_state", load_resume_state)
    monkeypatch.setattr(basicsr.train, "MessageLogger", logger)
    with pytest.raises(RuntimeError, match=r"mihatp_arch\.training\.patches knows basicsr 1\.4\.2"):
        apply_patches([replace(patch) for patch in rows[::-1]])
    assert basicsr.train.load_resume_state is load_resume_state and basicsr.train.MessageLogger is logger


def test_basicsr_can_be_left_as_it_is():
    code = "import mihatp_arch, basicsr.train as t; print(t.load_resume_state.__module__)"
    environment = os.environ | {"MIHATP_NO_PATCH": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["basicsr.train"], run.stderr


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.label)
def test_ours_takes_the_same_arguments(patch):
    assert tuple(inspect.signature(patch.ours).parameters) == patch.parameters
    assert getattr(patch.owner, patch.name) is patch.ours


def test_the_page_is_fresh():
    """Write it anew: python -m mihatp_arch.training.patches docs/basicsr_patches.md"""
    assert PAGE.read_text(encoding="utf-8") == page()
