"""A Dask scheduler that goes away is awaited once; one that does not come back is one line."""

import socket
import threading
import time

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.processes import dask

distributed = pytest.importorskip("distributed")


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "_PATIENCE", 2)
    from helpers.dask_cluster import cluster

    with cluster(tmp_path) as address:

        def run() -> None:
            with open_executor(workers=1, scheduler=address) as (executor, at_once):
                tasks = ((number, (0.2,)) for number in range(100))
                done = run_all(executor, time.sleep, tasks, at_once=at_once)
                next(done)
                with distributed.Client(address, set_as_default=False) as other:
                    other.shutdown()
                list(done)

        with pytest.raises(UserError, match=f"the Dask scheduler at {address} went away.*run the same command again"):
            run()


@pytest.mark.slow
def test_a_scheduler_that_comes_back_gets_the_unfinished_tasks_again(capfd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def start():
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
        return distributed.LocalCluster(host="127.0.0.1", scheduler_port=port, **options)

    clusters = [start()]
    with open_executor(workers=1, scheduler=f"tcp://127.0.0.1:{port}") as (executor, at_once):
        tasks = ((number, (0.1,)) for number in range(20))
        done = run_all(executor, time.sleep, tasks, at_once=at_once)
        labels = [next(done)[0]]
        clusters[0].close()
        again = threading.Timer(2, lambda: clusters.append(start()))
        again.start()
        labels += [label for label, _ in done]
    clusters[1].close()
    assert sorted(labels) == list(range(20))
    assert "went away: waiting 60 s for it" in capfd.readouterr().err
