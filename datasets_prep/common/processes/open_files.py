"""The limit of open files: workers that meet it wait for ever, so it is looked at before they start."""

import resource

from datasets_prep.common.errors import UserError

_FEW, _EACH = 64, 16  # open files of a process, and what each of its workers adds


def allow_open_files(workers: int, *, option: str) -> None:
    """Raise the limit of open files of this process to what `workers` processes need.

    Raises:
        UserError: the system does not allow as many; the error names the `option` that sets the workers.
    """
    needed = _FEW + _EACH * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not workers or soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UserError(
            f"{option}: {workers} worker processes need {needed} open files, and the limit is {hard}: raise it "
            f"(ulimit -n {needed}), or give fewer workers"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
