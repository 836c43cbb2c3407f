"""A Dask scheduler that goes away is one line."""

import time

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.common.executors import open_executor, run_all

distributed = pytest.importorskip("distributed")


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_one_line(tmp_path):
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
