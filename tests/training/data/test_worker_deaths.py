"""An error of a loader whose worker has gone is one line; any other error stays what it is."""

import pytest

from mihatp_arch.errors import UserError
from mihatp_arch.training.data import worker_deaths


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch):
    monkeypatch.setattr(worker_deaths, "_SECONDS", 0)


def _try_get_data() -> None:
    """Named as the method of torch's loader that takes a batch from a worker."""
    raise ConnectionResetError(104, "Connection reset by peer")


def test_a_connection_that_a_worker_broke_is_one_line():
    with (
        pytest.raises(
            UserError, match=r"^DataLoader worker \(pid not known\) has broken its connection: .*--auto_resume"
        ),
        worker_deaths.worker_deaths_named(),
    ):
        _try_get_data()


def test_another_broken_connection_is_raised_as_it_is():
    with pytest.raises(ConnectionResetError), worker_deaths.worker_deaths_named():
        raise ConnectionResetError(104, "Connection reset by peer")
