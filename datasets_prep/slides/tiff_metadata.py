"""What a TIFF file says of its image: µm per pixel (OME, ImageJ or resolution tags), objective, scanner, profile."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import openslide
import tifffile

from datasets_prep.slides.protocol import SlideFacts
from datasets_prep.slides.resolution import MPP_NAMES
from datasets_prep.slides.tiff_files import PARSER_ERRORS, tiff_file

_RESOLUTIONS, _UNIT = ("XResolution", "YResolution"), "ResolutionUnit"
_MAKER = ("Make", "Model")
_TAG_UM = {2: 25400.0, 3: 10000.0}  # µm of the resolution units inch and centimetre
_UM = {  # µm of a unit of length, by the names of OME and ImageJ
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "\\u00b5m", "\\u00B5m"), 1.0),
    **dict.fromkeys(("nm", "nanometer"), 0.001),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("m", "meter"), 1e6),
    **dict.fromkeys(("in", "inch"), 25400.0),
}


def properties_of(file: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, str]:
    """The resolution and the objective, under OpenSlide's names of properties; what the file does not state is absent.

    Args:
        file: the open file.
        page: the page of level 0.
    """
    stated = _of_description(file, page)
    if not stated.keys() & set(MPP_NAMES):
        stated |= _of_tags(page)
    return stated


def described_sides(path: Path) -> tuple[float, float] | None:
    """µm per pixel (across, down) of the first page, as OME or ImageJ describe it; None where they do not."""
    try:
        with tiff_file(path) as file:
            stated = _of_description(file, file.pages.first)
            across, down = (float(stated[name]) for name in MPP_NAMES)
    except PARSER_ERRORS:
        return None
    return across, down


def _of_description(file: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, str]:
    stated = _of_ome(file, page) if file.is_ome else {}
    if not stated.keys() & set(MPP_NAMES) and file.is_imagej:
        stated |= _of_imagej(file, page)
    return stated


def _of_ome(file: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, str]:
    """Of the OME image whose size is that of the page."""
    try:
        root = ElementTree.fromstring(file.ome_metadata or "")
    except (ElementTree.ParseError, ValueError):
        return {}
    stated: dict[str, str] = {}
    size = str(page.imagewidth), str(page.imagelength)
    for pixels in _elements(root, "Pixels"):
        if (pixels.get("SizeX"), pixels.get("SizeY")) != size:
            continue
        for name, axis in zip(MPP_NAMES, "XY", strict=True):
            unit = _UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
            side = _positive(pixels.get(f"PhysicalSize{axis}"))
            if unit is not None and side is not None:
                stated[name] = f"{side * unit:.9g}"
        break
    power = next((_positive(objective.get("NominalMagnification")) for objective in _elements(root, "Objective")), None)
    return stated | ({} if power is None else {openslide.PROPERTY_NAME_OBJECTIVE_POWER: f"{power:g}"})


def _elements(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """All elements of this name, in any namespace."""
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def _of_imagej(file: tifffile.TiffFile, page: tifffile.TiffPage) -> dict[str, str]:
    """ImageJ writes pixels per unit into the resolution tags, and the unit into the description."""
    unit = (file.imagej_metadata or {}).get("unit")
    if unit is None:
        unit_line = re.search(r"^unit=(.+?)\s*$", page.description, re.MULTILINE)
        unit = unit_line[1] if unit_line else ""
    length = _UM.get(str(unit).strip().strip("\0"))
    return {} if length is None else _sides(page, length)


def _of_tags(page: tifffile.TiffPage) -> dict[str, str]:
    tag = page.tags.get(_UNIT)
    length = _TAG_UM.get(int(tag.value) if tag is not None else 2)
    return {} if length is None else _sides(page, length)


def _sides(page: tifffile.TiffPage, length: float) -> dict[str, str]:
    """The sides of a pixel, from the resolution tags in pixels per `length` µm."""
    sides: dict[str, str] = {}
    for name, tag in zip(MPP_NAMES, _RESOLUTIONS, strict=True):
        value: Any = page.tags[tag].value if tag in page.tags else (0, 1)
        above, below = value if isinstance(value, tuple) else (value, 1)
        if above and below:
            sides[name] = f"{length * below / above:.9g}"
    return sides


def _positive(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if number > 0 else None


def facts_of(page: tifffile.TiffPage) -> SlideFacts:
    """Scanner and colour profile of the page of level 0."""
    texts = [str(page.tags[tag].value).strip() for tag in _MAKER if tag in page.tags]
    icc = page.iccprofile
    return SlideFacts(icc=bytes(icc) if icc else None, scanner=" ".join(filter(None, texts)))


def openslide_facts(properties: Mapping[str, str], icc: bytes | None) -> SlideFacts:
    """Scanner, profile and origin of a slide, from OpenSlide's properties."""
    names = ("aperio.ScanScope ID", "hamamatsu.Product", "leica.device-model", "tiff.Make", "tiff.Model")
    scanner = " ".join(filter(None, (properties.get(name, "").strip() for name in names)))
    try:
        bounds = (openslide.PROPERTY_NAME_BOUNDS_X, openslide.PROPERTY_NAME_BOUNDS_Y)
        x, y = (int(float(properties.get(name, "0"))) for name in bounds)
    except ValueError:
        x, y = 0, 0
    return SlideFacts(icc=icc, scanner=scanner, origin=(x, y))
