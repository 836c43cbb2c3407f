"""Why no reader opens a file: damaged, of another kind, or a format that is not supported; and what to do."""

from pathlib import Path

from datasets_prep.slides.tiff_files import is_tiff

_EXPORT = "export it as OME-TIFF or SVS"
_PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP", b"RIFF": "WebP"}
_ARCHIVES = {b"PK\x03\x04": "ZIP", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "RAR"}
_FOREIGN = {  # endings of slides that neither OpenSlide nor tifffile reads
    ".vsi": "Olympus VSI",
    ".isyntax": "Philips iSyntax",
    ".i2syntax": "Philips iSyntax",
    ".kfb": "KFBIO",
    ".sdpc": "SQRay",
    ".tmap": "Unic",
    ".mdsx": "Motic",
    ".zvi": "Zeiss ZVI",
    ".lif": "Leica LIF",
}


def foreign_format(path: Path) -> str:
    """Name of the format when the ending is that of slides that cannot be read; else empty."""
    return _FOREIGN.get(path.suffix.lower(), "")


def why_no_slide(path: Path, error: str = "") -> str:
    """One line: why the file at `path` cannot be opened as a slide, and what to do.

    Args:
        path: a file that exists and can be read.
        error: the error of OpenSlide; empty when it does not know the format.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return f"{path} is empty, no slide: fetch it again"
    if not start.strip(b"\0"):
        return f"{path} is damaged (it begins with zeros), no slide: fetch it again"
    if foreign_format(path):
        return f"{path} is {foreign_format(path)}, no slide that can be read here: {_EXPORT}"
    if error:
        line = " ".join(error.split())
        if "support" in line.lower():
            return f"{path} cannot be read by OpenSlide ({line}): {_EXPORT}"
        return f"{path} is damaged ({line}): fetch it again"
    return _by_content(path, start)


def _by_content(path: Path, start: bytes) -> str:
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        return (
            f"{path} is no slide without its folder {path.stem}/ (with Slidedat.ini), or is damaged: fetch both again"
        )
    picture = next((name for magic, name in _PICTURES.items() if start.startswith(magic)), "")
    if picture:
        return f"{path} is a {picture} picture, no slide: give its folder with --tiles"
    archive = next((name for magic, name in _ARCHIVES.items() if start.startswith(magic)), "")
    if archive:
        return f"{path} is a {archive} archive, no slide: unpack it"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return f"{path} is a web page, no slide (a failed download?): fetch it again"
    if start[128:132] == b"DICM":
        return f"{path} is DICOM, but no whole slide that OpenSlide opens: {_EXPORT}"
    if start.startswith(b"ZISRAWFILE"):
        return f"{path} is a CZI that OpenSlide does not open (fluorescence, or a camera's picture): {_EXPORT}"
    if is_tiff(path):
        return f"{path} is damaged, no slide that can be opened: fetch it again"
    return f"{path} is no slide that OpenSlide or tifffile can open, or a damaged one: fetch it again, or {_EXPORT}"
