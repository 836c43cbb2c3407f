"""`python -m mihatp_arch train -opt …` is the command `basicsr`, for use where another package has taken this name."""

import runpy

if __name__ == "__main__":
    # It runs under its own name: spawned DataLoader workers import the main module anew, but never a `__main__.py`.
    runpy.run_module("mihatp_cli.basicsr", run_name="__main__", alter_sys=True)
