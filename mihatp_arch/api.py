"""The package in three lines of Python: load a network, apply it; find the nuclei of a slide."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.network import Precision
from mihatp_arch.inference.upscale import Upscaler

if TYPE_CHECKING:
    from mihatp_arch.inference.nuclei.options import NucleiOptions
    from mihatp_arch.inference.nuclei.segment_slide import SlideNuclei


def load(
    source: str | os.PathLike[str] | None = None,
    *,
    scale: int | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    tile: int | None = None,
    batch: int | None = None,
    ensemble: bool = False,
    consistent: bool = False,
) -> Upscaler:
    """Load a trained network; `.upscale(image)` of the result applies it.

    Args:
        source: the name of bundled weights (`he-light-x2`, `he-light-x4`, `he-light-x8`), a `.safetensors` file of
            `mihatp export`, the folder of an experiment, an `.onnx` file of `mihatp export --onnx`, or any file that
            spandrel knows. None takes the bundled weights of `scale`.
        scale: the scale that the network must have; None takes that of the weights.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, …
        precision: `bf16` is faster on processors that have it; SR differs by one or two code values of 8 bits.
        tile: largest side of the input of the network, LR px; None: 160, or that of an ONNX file.
        batch: tiles at the same time; None: one for each core of a CPU, as many as fit into the memory of a GPU.
        ensemble: average over the eight symmetries of the square: better, and eight times as slow.
        consistent: change SR as little as possible so that its reduction is exactly LR.

    Raises:
        UserError: there is no such file or name, it cannot be loaded, or it has another scale; an option is out of
            range, or an ONNX file cannot follow it.
    """
    network = load_network(source, scale=scale, device=device, precision=precision)
    return Upscaler(network, tile=tile, batch=batch, ensemble=ensemble, consistent=consistent)


def segment_nuclei(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    options: "NucleiOptions | None" = None,
    overwrite: bool = False,
) -> "SlideNuclei":
    """Segment the nuclei of a slide or a picture, and write them as GeoJSON; a killed run resumes at the next call.

    Args:
        path: the slide, or the picture.
        output: the new GeoJSON.
        options: the network and how it is applied (`mihatp_arch.inference.nuclei.options.NucleiOptions`).
        overwrite: replace an output that exists.

    Raises:
        UserError: the weights, the slide or the output cannot be used; the message says why.
    """
    from mihatp_arch.inference.nuclei.options import NucleiOptions
    from mihatp_arch.inference.nuclei.segment_slide import segment_slide  # OpenSlide
    from mihatp_arch.inference.slides.keywords import errors_in_python, in_python

    with errors_in_python():
        chosen = options or NucleiOptions()
        result = segment_slide(Path(path), Path(output), chosen, overwrite=overwrite, progress=False)
    return replace(result, notes=tuple(map(in_python, result.notes)))
