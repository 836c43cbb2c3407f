"""A slide of JPEG tiles as one of JPEG 2000 tiles, as Aperio's scanners write them (compression 33005)."""

from pathlib import Path

import tifffile

LEVEL = 38  # dB; real tissue then takes 1.4 bits for a pixel, as in slides of TCGA


def write_jpeg2000(source: Path, path: Path) -> None:
    """Write the levels of the SVS `source` again; the thumbnail stays away."""
    with tifffile.TiffFile(source) as slide, tifffile.TiffWriter(path) as file:
        for page in slide.pages:
            if page.is_tiled:
                file.write(
                    page.asarray(),
                    tile=(page.tilelength, page.tilewidth),
                    photometric="rgb",
                    compression=33005,
                    compressionargs={"level": LEVEL, "codecformat": "j2k"},
                    description=page.description,
                    metadata=None,
                )
