"""A command whose output is read by `head` ends without a traceback."""

import subprocess
import sys


def test_a_reader_that_ends_first_is_no_fault():
    command = [sys.executable, "-m", "mihatp_cli.mihatp", "options"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONUNBUFFERED": "1"})
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
