"""The provenance of a data set, a part of `build.json`: what was typed, read and installed, and what failed."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import openslide

from datasets_prep.common.files import sha256_of
from datasets_prep.common.png import encoder
from datasets_prep.common.work_folder import VERSION
from datasets_prep.patches.scanning import Drawn
from datasets_prep.patches.source_state import SourceState
from datasets_prep.patches.sources import SourceList

_PACKAGES = ("numpy", "opencv-python", "pillow", "openslide-python", "tifffile", "imagecodecs", "lmdb")


def versions() -> dict[str, str]:
    """Name -> version of this program and of everything that reads, changes or writes pixels."""
    return {
        "mihatp": VERSION,
        "python": platform.python_version(),
        "openslide": openslide.__library_version__,
        **{name: _version(name) for name in _PACKAGES},
        "png": encoder(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # such as opencv-python-headless in place of opencv-python
        return "unknown"


@dataclass(frozen=True)
class Inputs:
    """The files and folders that were given; see `prepare`."""

    slides: Sequence[Path]
    tiles: Path | None = None
    manifest: Path | None = None
    mask: Path | None = None
    coords: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [*self.slides, *filter(None, (self.tiles, self.manifest, self.mask, self.coords))]

    def record(self) -> dict[str, Any]:
        """As absolute paths, and the SHA-256 of the manifest."""
        given: dict[str, Any] = {"slides": [str(path.absolute()) for path in self.slides]}
        for name, path in (("tiles", self.tiles), ("mask", self.mask), ("coords", self.coords)):
            if path is not None:
                given[name] = str(path.absolute())
        if self.manifest is not None:
            given["manifest"] = {"path": str(self.manifest.absolute()), "sha256": sha256_of(self.manifest)}
        return given


def drawn_files(inputs: Inputs, listed: SourceList) -> Drawn:
    """The outlines and coordinates among the inputs."""
    return Drawn(inputs.mask, inputs.coords, {source.name: source.key for source in listed.omitted})


def sources_of(states: Sequence[SourceState]) -> dict[str, dict[str, Any]]:
    """Name -> file, size, scanner, SHA-256 of the colour profile, and origin of each source that could be opened."""
    sources: dict[str, dict[str, Any]] = {}
    for state in states:
        scan = state.scan
        if scan.failed:
            continue
        facts = {"scanner": scan.scanner, "icc": scan.icc, "mask": str(state.mask.absolute()) if state.mask else ""}
        origin = {"origin": list(scan.origin)} if scan.origin != (0, 0) else {}
        size = state.source.path.stat().st_size
        sources[state.source.name] = {
            "file": str(state.source.path),
            "bytes": size,
            **{name: value for name, value in facts.items() if value},
            **origin,
        }
    return sources


def failures_of(states: Sequence[SourceState]) -> dict[str, str]:
    """Name -> why a source could not be used."""
    return {state.source.name: " ".join(state.scan.failed.split()) for state in states if state.scan.failed}
