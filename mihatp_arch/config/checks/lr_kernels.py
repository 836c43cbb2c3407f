"""How the LR of each data set was made: what the consistency projection needs, and what the network was trained on."""

from collections.abc import Iterator

from mihatp_arch.config.kernels import kernel_of_data, kernel_of_network
from mihatp_arch.config.read import KeyPath, Options


def fill_kernels(options: Options) -> None:
    """Write the `kernel` of every data set into the options, so that a training can record it."""
    scale = options.get("scale")
    for dataset in options.section("datasets").values():
        kernel = kernel_of_data(dataset, scale if isinstance(scale, int) else 1)
        if kernel is not None:
            dataset["kernel"] = kernel


def check_kernels(options: Options, command: str) -> tuple[list[str], list[str]]:
    """Mistakes and warnings about the kernels of the data sets, which `fill_kernels` has written."""
    return [*_check_consistency(options)], [*_check_trained(options, command)]


def _check_consistency(options: Options) -> Iterator[str]:
    """A line for each option that projects onto LR, where LR is not the k×k mean of HR."""
    measured = [name for name in options.section("datasets") if name != "train"]
    asked: list[tuple[KeyPath, list[str]]] = []
    if options.get("val", "consistency") in ("area", "both"):
        asked.append((("val", "consistency"), measured))
    for key in options.values:
        if str(key).startswith("network_") and options.get(str(key), "consistency"):
            asked.append(((str(key), "consistency"), list(options.section("datasets"))))
    for path, names in asked:
        for name in names:
            kernel = options.get("datasets", name, "kernel")
            if kernel != "area":
                value = options.get(*path)
                made = "is not known" if kernel is None else f"is {kernel}"
                yield options.problem(
                    path,
                    f"{str(value).lower()} needs LR that is the k×k mean of HR, but the kernel of datasets.{name} "
                    f"{made}; say {'off' if path[0] == 'val' else 'false'}, or `kernel: area` there if it is this mean",
                )
                break
    for path, _ in asked:
        if path[0] != "val" and options.get("train", "lq_augment"):
            yield options.problem(path, "true needs LR that is the k×k mean of HR: set train.lq_augment to null")


def _check_trained(options: Options, command: str) -> Iterator[str]:
    """A line for the first data set whose kernel is not that of the training of the network."""
    datasets = options.section("datasets")
    before = kernel_of_network(options.values)
    if command == "train":
        trained = options.get("datasets", "train", "kernel")
        if before and trained and before != trained:
            yield options.problem(
                ("datasets", "train"),
                f"its LR is made by {trained}, but the weights that network_g starts from were trained on {before}",
            )
        before = trained
    for name, dataset in datasets.items():
        kernel = dataset.get("kernel")
        if name != "train" and before and kernel and kernel != before:
            yield options.problem(
                ("datasets", name),
                f"its LR is made by {kernel}, but network_g was trained on {before}: the kernel alone can cost 2 dB",
            )
            return
