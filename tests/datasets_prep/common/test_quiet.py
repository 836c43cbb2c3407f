"""Messages of libraries are held back, and nothing of others is lost."""

import os

from datasets_prep.common.quiet import captured_stderr


def test_what_nobody_asked_for_is_shown_at_the_end(capfd):
    with captured_stderr() as new:
        os.write(2, b"of C\n")
        assert new() == "of C\n" and new() == ""
        os.write(2, b"of others\n")
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "of others\n"
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "later\n"
