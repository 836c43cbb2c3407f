"""Too few open files for the workers that are asked for: a line instead of workers that wait for ever."""

import resource
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from datasets_prep.common.processes.open_files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (20, int(sys.argv[1])))
allow_open_files(int(sys.argv[2]), option="--workers 2")
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("hard", "workers", "says"),
    [
        (20, 2, "--workers 2: 2 worker processes need 96 open files, and the limit is 20: raise it (ulimit -n 96)"),
        (20, 0, "20"),
        (200, 2, "96"),
    ],
)
def test_the_limit_is_raised_or_the_workers_are_refused(hard, workers, says):
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 200
    run = subprocess.run([sys.executable, "-c", CODE, str(hard), str(workers)], capture_output=True, text=True)
    assert says in (run.stdout + run.stderr).splitlines()[-1]
