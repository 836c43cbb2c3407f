"""The table of what was measured, and that it is the same in every run on the same day."""

from dataclasses import replace

from helpers.benchmark import plan

from mihatp_arch.evaluation.frozen_list import hash_of, read_test_images
from mihatp_arch.evaluation.report.provenance import Session, provenance
from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.statistics import Facts, MethodResult
from mihatp_arch.evaluation.results.training_time import TrainingTime

COST = Cost(1, 0, 1.0, 1.0, 1.0)


def test_every_fact_has_a_row(tmp_path, small_data):
    read = plan(tmp_path, small_data, "SRCNN")
    images = read_test_images(read)
    facts = Facts(cost=COST, iterations=1500, training=TrainingTime(61.4, ("H100",)))
    arguments = {
        "images": images,
        "patients": Patients({"test1": {"a": "P", "b": "Q"}}),
        "kernels": {"test1": "area"},
        "results": [
            MethodResult("bicubic", {}, {}, {}),
            MethodResult("SRCNN", {}, {}, {}, facts=facts),
            MethodResult("DAT", {}, {}, {}, facts=Facts(cost=COST)),
        ],
    }
    session = Session("2026-01-31", "abc+", "CPU, 2 threads")
    table = dict(provenance(read, session, **arguments).rows)
    assert table["data set"] == f"{small_data.name}, no manifest.csv" and table["training set"] == "patients not known"
    assert table["test images"] == "10 images of 2 patients, sets test1, test2, test3, test4, test5"
    assert table["test pixels"] == f"HR and LR x4, SHA-256 {hash_of(images)}"
    assert (table["LR kernel"], table["seeds"], table["date"]) == ("area", "0", "2026-01-31")
    assert table["iterations and seconds"] == "SRCNN 1 500 in 61 s; DAT not trained here"
    assert table["code"].endswith(", commit abc+") and table["device"] == "CPU, 2 threads"
    assert provenance(read, session, **arguments) == provenance(read, session, **arguments)
    seeded = replace(read, seeds=(3, 4))
    again = provenance(seeded, replace(session, commit=None, frozen=tmp_path / "list.csv"), **arguments)
    assert dict(again.rows)["seeds"] == "3, 4" and dict(again.rows)["frozen list"] == "checked against list.csv"
    assert dict(again.rows)["code"].endswith(", commit not known")
