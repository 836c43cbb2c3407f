"""The reason in an error line is never empty, and a failure names its file once."""

import errno
import os
from pathlib import Path

import pytest

from datasets_prep.common.errors import UserError, failure_of, reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.png"), "No space left on device"),
        (OSError("image file is truncated"), "image file is truncated"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (OSError(), "OSError"),
    ],
)
def test_the_reason_is_said(error, reason):
    assert reason_of(error) == reason


def test_a_failure_names_its_file_once():
    assert (
        failure_of(Path("a/b.svs"), UserError("a/b.svs is damaged:\nfetch it again"))
        == "a/b.svs is damaged: fetch it again"
    )
    assert failure_of(Path("a/b.svs"), RuntimeError("out of memory")) == "b.svs: out of memory"
    assert failure_of(Path("a/b.svs"), MemoryError()) == "b.svs: MemoryError"
