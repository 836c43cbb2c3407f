"""Lines below a table that say which of its rows are not what they seem."""

from collections.abc import Mapping, Sequence

from mihatp_arch.evaluation.results.statistics import MethodResult


def unreachable(results: Sequence[MethodResult]) -> list[str]:
    """A line for each method whose first stage reconstructs HR worse than bicubic or the best regressor restores it."""
    psnr = {result.method: result.means["psnr"][0] for result in results}
    regressors = [result.method for result in results if result.facts.bound is None and result.facts.cost is not None]
    rivals = [name for name in ("bicubic", max(regressors, key=psnr.__getitem__, default="")) if name in psnr]
    lines = []
    for result in results:
        if result.facts.bound is None:
            continue
        bound = result.facts.bound[0]
        above = [f"{name} ({psnr[name]:.2f} dB)" for name in dict.fromkeys(rivals) if psnr[name] >= bound]
        if above:
            lines.append(
                f"{result.method} is not expected to reach {' and '.join(above)}, whatever its training: its first "
                f"stage reconstructs HR itself with {bound:.2f} dB."
            )
    return lines


def other_kernels(results: Sequence[MethodResult], kernels: Mapping[str, str | None]) -> list[str]:
    """How LR of the test sets was made, and a line for each method that was trained on another kernel.

    Args:
        results: of all methods.
        kernels: test set -> its kernel; None where it is not known.
    """
    known = {kernel or "an unknown kernel" for kernel in kernels.values()}
    lines = [f"LR of the test sets is made by: {', '.join(sorted(known))}."]
    for result in results:
        trained = result.facts.kernel
        if trained is not None and {trained} != known:
            lines.append(
                f"{result.method} was trained on LR made by {trained}: another kernel alone can change its PSNR by "
                "2 dB."
            )
    return lines
