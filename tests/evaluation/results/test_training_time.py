"""The time of a training is that of all its sessions."""

import json

from mihatp_arch.evaluation.results.training_time import training_time

SESSION = """\
Disable distributed.
2026-11-27 10:00:{start:02},000 INFO: Start training from epoch: 0, iter: 0
2026-11-27 10:00:{start:02},500 INFO: [HAT_x..][epoch:  0, iter:       1, lr:(1e-04,)] l_pix: 1.1e-01
2026-11-27 10:00:{last:02},250 INFO: [HAT_x..][epoch:  1, iter:   1,000, lr:(1e-04,)] l_pix: 1.1e-01
2026-11-27 10:00:59,000 INFO: Saving models and training states.
"""


def write_experiment(folder, *sessions: tuple[int, int], devices: tuple[str, ...] = ()):
    folder.mkdir()
    for number, (start, last) in enumerate(sessions):
        text = SESSION.format(start=start, last=last)
        (folder / f"train_HAT_x4_20261127_10000{number}.log").write_text(text, encoding="utf-8")
    if devices:
        (folder / "run.json").write_text(json.dumps([{"device": device} for device in devices]))
    return folder


def test_sessions_are_added_and_seeds_are_averaged(tmp_path):
    first = write_experiment(tmp_path / "seed0", (10, 20), (30, 32), devices=("CPU, 2 threads", "H100"))
    second = write_experiment(tmp_path / "seed1", (0, 20), devices=("H100",))
    assert training_time([first]).seconds == 12.5
    both = training_time([first, second])
    assert both.seconds == (12.5 + 20.25) / 2
    assert both.devices == ("CPU, 2 threads", "H100")


def test_a_session_without_an_iteration_took_no_time(tmp_path):
    folder = write_experiment(tmp_path / "a")
    (folder / "train_HAT_x4_1.log").write_text("2026-11-27 10:00:00,000 INFO: Start training from epoch: 0, iter: 0\n")
    assert training_time([folder]).seconds == 0 and training_time([folder]).devices == ()


def test_without_a_log_the_time_is_not_known(tmp_path):
    assert training_time([tmp_path]) is None
    assert training_time([]) is None
