"""How LR was made (area, bicubic, pyramid): of the test sets, and of the data that each method was trained on."""

from collections.abc import Mapping

from mihatp_arch.config.kernels import kernel_of_data, kernel_of_network
from mihatp_arch.evaluation.run.plan import Method, Plan


def kernels_of_sets(plan: Plan) -> dict[str, str | None]:
    """Name of each test set, and of the validation set -> its kernel; None where it is not known."""
    return {
        name: kernel_of_data(dataset, plan.scale)
        for name, dataset in {**plan.test_sets(), **plan.validation_set()}.items()
    }


def no_projection(kernels: Mapping[str, str | None]) -> str | None:
    """Why the consistency projection cannot be used on these sets; None where it can."""
    for name, kernel in kernels.items():
        if kernel != "area":
            made = "is not known" if kernel is None else f"is {kernel}"
            return (
                f"There are no rows with the consistency projection: it needs LR that is the mean of k×k pixels of HR, "
                f"but the kernel of {name} {made}."
            )
    return None


def kernel_of_training(method: Method, scale: int) -> str | None:
    """The kernel of the data that a method was, or will be, trained on; None without a network, or where not known."""
    if method.options is None:
        return None
    if method.weights is not None:
        return kernel_of_network(method.options.values)
    train = method.datasets().get("train")
    return None if train is None else kernel_of_data(train, scale)
