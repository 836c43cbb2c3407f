"""`python -m mihatp_arch train -opt …`: the command `basicsr`, where another package has taken its name."""

import runpy

if __name__ == "__main__":
    # Run as the main module by its own name: spawned DataLoader workers import that anew, but never a `__main__.py`.
    runpy.run_module("mihatp_cli.basicsr", run_name="__main__", alter_sys=True)
