"""`mihatp downstream`: mistakes in the data stop it before the first image, and images without nuclei are said."""

import cv2
import numpy as np
import pytest


def uncoded(bits):
    return np.zeros((84, 90), f"uint{bits}")


@pytest.mark.parametrize(
    "labels", [uncoded(8), uncoded(16), np.zeros((84, 90, 3), np.uint16), np.zeros((84, 90, 4), np.uint8)]
)
def test_label_maps_that_are_not_coded_are_refused(run, damageable, tmp_path, capsys, labels):
    cv2.imwrite(str(damageable / "test/labels/t1.png"), labels)
    assert run(damageable, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert (
        "labels/t1.png' is no coded label map, which is 8-bit RGB: prepare the data with `mihatp nuclei prep" in error
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("labels", lambda path: cv2.imwrite(str(path), np.zeros((84, 88, 3), np.uint8)), "t1.png' has 90x84 px and '"),
        (
            "labels",
            lambda path: path.write_bytes(path.read_bytes()[:-20]),
            "labels/t1.png' cannot be read: its PNG is cut",
        ),
        (
            "images",
            lambda path: path.write_bytes(path.read_bytes()[:-20]),
            "images/t1.png' cannot be read: its PNG is cut",
        ),
        ("images", lambda path: path.write_text("text"), "images/t1.png' cannot be read: it is no image"),
    ],
)
def test_a_mistake_in_the_last_image_stops_before_the_first(run, damageable, tmp_path, capsys, name, change, reason):
    change(damageable / "test" / name / "t1.png")
    assert run(damageable, tmp_path / "out") == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_that_are_smaller_than_the_scale(run, write, damageable, tmp_path, capsys):
    for name in ("images", "labels"):
        write(damageable / "test" / name / "t1.png", np.zeros((7, 90, 3), np.uint8))
    assert run(damageable, tmp_path / "out") == 2
    assert "t1.png' has 90x7 px: 8 px are needed for these scales" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("empty", "reason"),
    [(["t0"], "1 image has no annotated nucleus: there, a row"), (["t0", "t1"], "2 images have no annotated nucleus")],
)
def test_images_without_nuclei_are_said(run, write, damageable, tmp_path, capsys, empty, reason):
    for name in empty:
        write(damageable / f"test/labels/{name}.png", np.zeros((84, 90, 3), np.uint8))
    assert run(damageable, tmp_path / "out") == 0
    assert reason in capsys.readouterr().out
    assert reason in (tmp_path / "out/downstream.html").read_text()


def test_an_image_of_a_patient(run, damageable, tmp_path, capsys):
    (damageable / "test/images/t1.png").unlink()
    assert run(damageable, tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "1 patient is too few for an interval" in shown and "no annotated" not in shown
