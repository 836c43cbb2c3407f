"""What BasicSR 1.4.2, torchvision and SciPy need to be importable on today's stack, and nothing else.

It runs at import, before anything imports basicsr. It changes nothing that works. Each workaround says what breaks, in
which version, and when the workaround can go. `training/patches` replaces functions of BasicSR; this module does not.
"""

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_libraries: list[torch.library.Library] = []  # torch removes the operators of a Library that is garbage-collected


@contextmanager
def _put_off(missing: str, name: str) -> Iterator[None]:
    """Inside the block, `from <missing> import <name>` gives a function that imports the real module when it is called.

    Any other name imports the real module at once. A module that is imported already stays as it is.
    """
    if missing in sys.modules:
        yield
        return

    def real(attribute: str) -> Any:
        if attribute.startswith("__"):  # Python's import system and inspect ask every module for these
            raise AttributeError(attribute)
        if sys.modules.get(missing) is stand_in:
            del sys.modules[missing]
        return getattr(importlib.import_module(missing), attribute)

    def call(*args: Any, **kwargs: Any) -> Any:
        return real(name)(*args, **kwargs)

    stand_in = types.ModuleType(missing)
    vars(stand_in).update({name: call, "__getattr__": real})
    sys.modules[missing] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(missing) is stand_in:
            del sys.modules[missing]


def _mend_torchvision_ops() -> None:
    """Import torchvision, also one whose compiled operators do not fit this torch (CPU torch, CUDA torchvision).

    torchvision (all versions) registers meta kernels for these operators, and dies on import with `operator
    torchvision::nms does not exist`. Declaring their schemas is enough to import it; a call still fails. This goes when
    torchvision imports without its compiled library.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the failed import left them half built
    library = torch.library.Library("torchvision", "FRAGMENT")
    _libraries.append(library)
    for name, schema in (
        ("nms", "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
        ("qnms", "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ):
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    importlib.import_module("torchvision")


def _alias(missing: str, target: str, *names: str) -> None:
    """Make `missing` importable as a module with `names` of the module `target`, unless it exists."""
    try:
        importlib.import_module(missing)
    except ModuleNotFoundError:
        module = types.ModuleType(missing)
        source = importlib.import_module(target)
        for name in names:
            setattr(module, name, getattr(source, name))
        sys.modules[missing] = module


# torchvision (0.21 and later) imports torch._dynamo, 1.2 CPU seconds, for a function that only its compiled RoI pooling
# calls. This goes when torchvision imports it where it is called.
with _put_off("torch._dynamo.utils", "is_compile_supported"):
    _mend_torchvision_ops()
# torchvision 0.17 removed the module that basicsr 1.4.2 takes rgb_to_grayscale from; goes with basicsr's next release.
_alias("torchvision.transforms.functional_tensor", "torchvision.transforms.functional", "rgb_to_grayscale")
# SciPy 2 removes scipy.ndimage.filters, where basicsr 1.4.2 finds convolve; goes with basicsr's next release.
_alias("scipy.ndimage.filters", "scipy.ndimage", "convolve")
# basicsr 1.4.2 imports scipy.stats, 0.7 CPU seconds, for one kernel of its Real-ESRGAN degradations.
with _put_off("scipy.stats", "multivariate_normal"):
    importlib.import_module("basicsr")
