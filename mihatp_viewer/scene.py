"""The scene of a view: images in the order given, and layers above them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from datasets_prep.common.errors import UserError
from mihatp_viewer import outlines
from mihatp_viewer.tiles import CACHE_BYTES, Tiles

_MAPS = ("inconsistency", "deviation")  # maps of trust, `<output>.<name>.tif` beside an output of `mihatp upscale`
_CACHES = 2**29  # bytes of tiles, of all images together


@dataclass(frozen=True)
class Layer:
    """Outlines or a map above the images.

    Attributes:
        name: the name of the file.
        image: index of the image whose px the outlines are in.
        outlines: as `read_outlines` gives them; None for a map.
        tiles: index among `Scene.tiles`; None for outlines.
    """

    name: str
    image: int
    outlines: bytes | None = None
    tiles: int | None = None


@dataclass
class Scene:
    """Open images and layers; `close` or a `with` block closes them.

    Attributes:
        tiles: of the images, then of the maps.
        images: number of images.
        layers: the layers.
        notes: lines that the user should read.
    """

    tiles: list[Tiles] = field(default_factory=list)
    images: int = 0
    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Close all files."""
        for tiles in self.tiles:
            tiles.close()

    def __enter__(self) -> "Scene":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_scene(
    images: Sequence[Path],
    layers: Sequence[Path] = (),
    *,
    assume_mpp: float | None = None,
    mpp: Mapping[Path, float] | None = None,
    tile_size: int = 512,
) -> Scene:
    """Open images and layers. The maps and outlines beside an image, which have its name, are layers too.

    Args:
        images: slides and pictures, in the order of the view.
        layers: GeoJSON files, and maps.
        assume_mpp: µm per pixel of images that state none.
        mpp: image -> µm per pixel, whatever it states.
        tile_size: side of a tile, px.

    Raises:
        UserError: a file cannot be opened, or `tile_size` is wrong.
    """
    scene = Scene()
    cache_bytes = min(CACHE_BYTES, _CACHES // max(1, len(images)))
    with ExitStack() as opened:
        opened.callback(scene.close)
        for path in images:
            stated = (mpp or {}).get(path)
            scene.tiles.append(
                Tiles(_file(path), assume_mpp=assume_mpp, mpp=stated, tile_size=tile_size, cache_bytes=cache_bytes)
            )
        scene.images = len(images)
        given = list(dict.fromkeys(layers))
        beside = [path for path in _beside(images) if path not in given]
        for path in (*given, *beside):
            _add_layer(scene, _file(path), images, tile_size)
        opened.pop_all()
    scene.notes += _notes(scene)
    return scene


def _file(path: Path) -> Path:
    if str(path) != str(path).encode("utf-8", "replace").decode("utf-8"):
        raise UserError(f"{str(path)!r} is no name in UTF-8: rename it, or give a link to it")
    if not path.exists():
        raise UserError(f"{str(path)!r} does not exist: give a slide or a picture")
    if not path.is_file():
        raise UserError(f"{path} is no file: give a slide or a picture")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} cannot be read: you have no permission")
    return path.absolute()


def _beside(images: Sequence[Path]) -> Iterator[Path]:
    """The files that `mihatp upscale --maps` and `mihatp nuclei segment` write beside an image."""
    for image in images:
        stem = image.with_suffix("")
        names = [f"{stem.name}.{name}{suffix}" for name in _MAPS for suffix in (".tif", ".geojson")]
        for path in (stem.with_name(name) for name in (*names, f"{stem.name}.geojson")):
            if path.is_file() and path not in images:
                yield path


def _add_layer(scene: Scene, path: Path, images: Sequence[Path], tile_size: int) -> None:
    image = _image_of(path, images)
    if path.suffix.lower() in outlines.SUFFIXES:
        data = outlines.read_outlines(path, origin=scene.tiles[image].origin)
        scene.layers.append(Layer(path.name, image, outlines=data))
        return
    scene.tiles.append(Tiles(path, tile_size=tile_size, heat=True))
    scene.layers.append(Layer(path.name, image, tiles=len(scene.tiles) - 1))


def _image_of(path: Path, images: Sequence[Path]) -> int:
    """The image of a layer: the longest name of an image that begins the name of the layer, else the first image."""
    stems = [image.with_suffix("").name for image in images]
    fits = [number for number, stem in enumerate(stems) if path.name.startswith(f"{stem}.")]
    return max(fits, key=lambda number: len(stems[number]), default=0)


def _notes(scene: Scene) -> Iterator[str]:
    for tiles in scene.tiles:
        yield from tiles.notes
    images = scene.tiles[: scene.images]
    known = [tiles for tiles in images if tiles.mpp is not None]
    if 0 < len(known) < len(images):
        for tiles in images:
            if tiles.mpp is None:
                yield f"{tiles.path.name} states no µm per pixel: it is shown as wide as the first image (--assume-mpp)"
    for layer in scene.layers:
        yield f"layer {layer.name}: on {scene.tiles[layer.image].path.name}"
