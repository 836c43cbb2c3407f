"""The pages of the three flavours of a pyramidal TIFF, as arguments of `TiffWriter.write`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import with_hint
from datasets_prep.slides.resolution import magnification_of
from mihatp_arch.inference.pyramid.encode import Compression, Jpeg
from mihatp_arch.inference.pyramid.levels import TILE, Layout

Flavour = Literal["generic", "svs", "ome"]
FLAVOURS: tuple[Flavour, ...] = ("generic", "svs", "ome")
SUFFIXES = (".tif", ".tiff", ".svs", ".btf")  # of a slide that is written
_THUMBNAIL_QUALITY = 90


def refuse_name(output: Path, flavour: Flavour | None, *, hint: str = "") -> None:
    """Raise `UserError` unless a slide of this flavour may have the name of `output`.

    Args:
        output: the file.
        flavour: that was chosen; None: any.
        hint: what else may be wrong with an ending that no slide has.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UserError(with_hint(f"-o {output}: a slide is written as {', '.join(SUFFIXES)}", hint))
    ending = _format_of(output)
    format = "tiff" if flavour == "generic" else flavour
    if None not in (ending, format) and ending != format:
        raise UserError(f"--format {format}: the output {output} is {ending} by its ending: change one of them")


def _format_of(output: Path) -> str | None:
    """The value of --format that the ending of a file names; None for `.tif` and `.btf`, which fit to all."""
    name = output.name.lower()
    if name.endswith((".ome.tif", ".ome.tiff", ".ome.btf")):
        return "ome"
    return "svs" if name.endswith(".svs") else None


@dataclass(frozen=True)
class Page:
    """A page of the file.

    Attributes:
        level: the level whose tiles it has; None for the thumbnail.
        options: arguments of `TiffWriter.write` that depend on the page.
    """

    level: int | None
    options: dict[str, Any]


@dataclass(frozen=True)
class Description:
    """The facts of a file that its flavour writes down.

    Attributes:
        layout: sizes of the pyramid.
        compression: how tiles are encoded.
        mpp: µm per px of level 0.
        text: what a reader must know of the image, any characters.
    """

    layout: Layout
    compression: Compression
    mpp: float
    text: str

    @property
    def power(self) -> float:
        """The usual magnification that is nearest to the resolution."""
        return magnification_of(self.mpp)


def pages(flavour: Flavour, about: Description, thumbnail: NDArray[np.uint8]) -> Iterator[Page]:
    """Yields the pages in the order in which they are written.

    generic: a chain of pages; the resolution stands in the resolution tags. OpenSlide and QuPath read all levels.
    svs: Aperio's layout, in which the second page is a thumbnail; the resolution and the nominal magnification stand
        in the description. OpenSlide, Bio-Formats and QuPath read all levels, and the magnification.
    ome: OME-TIFF; the coarser levels are sub-pages of the first. Bio-Formats, which QuPath uses for these files, reads
        all levels, OpenSlide the first.

    Args:
        flavour: the flavour.
        about: the facts.
        thumbnail: RGB, [H, W, 3], for svs.
    """
    if flavour == "svs":
        yield from _svs(about, thumbnail)
        return
    text = _generic_text(about) if flavour == "generic" else _ome_xml(about)
    for level in range(about.layout.levels):
        density = 1e4 / (about.mpp * 2**level)
        options: dict[str, Any] = {"resolution": (density, density), "resolutionunit": "CENTIMETER"}
        if level:
            options["subfiletype"] = 1  # a reduced version of another page
        else:
            options["description"] = text.encode()
            if flavour == "ome":
                options["subifds"] = about.layout.levels - 1
        yield Page(level, options)


def _generic_text(about: Description) -> str:
    return f"{about.text}\n{_sizes(about.layout)}"


def _sizes(layout: Layout) -> str:
    width, height = layout.size(0)
    return f"image {layout.width}x{layout.height} at the upper left of a white canvas of {width}x{height}"


def _svs(about: Description, thumbnail: NDArray[np.uint8]) -> Iterator[Page]:
    full = "{}x{}".format(*about.layout.size(0))
    quality = f"JPEG/YCC Q={about.compression.quality}" if isinstance(about.compression, Jpeg) else "Deflate"
    words = " ".join(about.text.replace("|", "/").split())
    properties = (
        f"AppMag = {about.power:g}",
        f"MPP = {about.mpp:.6g}",
        f"OriginalWidth = {about.layout.width}",
        f"OriginalHeight = {about.layout.height}",
        f"Description = {words}",
    )

    def text(size: str) -> bytes:
        head = f"Aperio Image Library (layout of Aperio, computed by MiHATP)\r\n{size}"
        return "|".join([head, *properties]).encode()

    def page(level: int | None, size: str, **options: Any) -> Page:
        # 0 on every page, as Aperio writes: Bio-Formats takes a page with another value, or none, for label or macro
        return Page(level, {"subfiletype": 0, "description": text(size), **options})

    yield page(0, f"{full} [0,0 {full}] ({TILE}x{TILE}) {quality}")
    small = f"{thumbnail.shape[1]}x{thumbnail.shape[0]} - JPEG/YCC Q={_THUMBNAIL_QUALITY}"
    yield page(None, f"{full} -> {small}", rowsperstrip=16, compressionargs={"level": _THUMBNAIL_QUALITY})
    for level in range(1, about.layout.levels):
        size = "{}x{}".format(*about.layout.size(level))
        yield page(level, f"{full} [0,0 {full}] ({TILE}x{TILE}) -> {size} {quality}")


def _ome_xml(about: Description) -> str:
    width, height = about.layout.size(0)
    sizes = f'SizeX="{width}" SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1"'
    physical = " ".join(f'PhysicalSize{axis}="{about.mpp:.9g}" PhysicalSize{axis}Unit="µm"' for axis in "XY")
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    location = quoteattr(f"{schema} {schema}/ome.xsd")
    text = escape(f"{about.text}\n{_sizes(about.layout)}")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{schema}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation={location} '
        'Creator="MiHATP">'
        '<Instrument ID="Instrument:0">'
        f'<Objective ID="Objective:0" NominalMagnification="{about.power}"/>'
        "</Instrument>"
        '<Image ID="Image:0" Name="computed by MiHATP">'
        f"<Description>{text}</Description>"
        '<InstrumentRef ID="Instrument:0"/><ObjectiveSettings ID="Objective:0"/>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" BigEndian="false" Interleaved="true" '
        f"{sizes} {physical}>"
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )
