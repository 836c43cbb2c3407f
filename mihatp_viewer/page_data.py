"""The data of the page: a script with the scene, and a script for the outlines of each layer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mihatp_viewer.scene import Layer, Scene
from mihatp_viewer.tiles import OVERLAP, Encoding, Tiles

PAGE = Path(__file__).parent / "page"  # the page itself, which is the same for every scene
SCENE = "scene.js"


def page_files() -> Iterator[Path]:
    """The files of the page."""
    yield from sorted(file for file in PAGE.iterdir() if file.is_file())


def scene_script(scene: Scene, *, encoding: Encoding) -> bytes:
    """A script that sets `MiHATP.scene`: sizes, resolutions, and where the tiles are.

    The first image is 1 wide in the view. `width` of another image is its physical width against that of the first, or
    1 where the resolution of either is unknown.
    """
    images = scene.tiles[: scene.images]
    data = {
        "images": [
            _tiled(tiles, _width(tiles, scene.tiles[0], 1.0), f"tiles/{number}", encoding)
            for number, tiles in enumerate(images)
        ],
        "layers": [_layer(scene, number, layer) for number, layer in enumerate(scene.layers)],
        "mpp": scene.tiles[0].mpp,
    }
    return b"MiHATP.scene = " + msgspec.json.encode(data) + b";\n"


def outlines_script(layer: Layer, number: int) -> bytes:
    """A script that gives the outlines of layer `number` to the page: a page from a disk may load no other file."""
    return b"MiHATP.addOutlines(%d, " % number + (layer.outlines or b"null") + b");\n"


def _width(tiles: Tiles, first: Tiles, otherwise: float) -> float:
    if tiles.mpp is None or first.mpp is None:
        return otherwise
    return tiles.size[0] * tiles.mpp / (first.size[0] * first.mpp)


def _tiled(tiles: Tiles, width: float, url: str, encoding: Encoding) -> dict[str, Any]:
    return {
        "name": tiles.path.name,
        "size": tiles.size,
        "mpp": tiles.mpp,
        "width": width,
        "tile": tiles.tile_size - 2 * OVERLAP,
        "overlap": OVERLAP,
        "levels": len(tiles.levels),
        "url": url,
        "encoding": encoding,
    }


def _layer(scene: Scene, number: int, layer: Layer) -> dict[str, Any]:
    shown = {"name": layer.name, "image": layer.image}
    if layer.tiles is None:
        return {**shown, "outlines": f"layers/{number}.js"}
    tiles, first = scene.tiles[layer.tiles], scene.tiles[0]
    width = _width(tiles, first, _width(scene.tiles[layer.image], first, 1.0))
    return {**shown, "map": _tiled(tiles, width, f"tiles/{layer.tiles}", "png")}
