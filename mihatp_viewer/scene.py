"""The scene of a view: images in the order given, and layers above them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import is_computed
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

    One of those that cannot be used is left out, with a note.

    Args:
        images: slides and pictures, in the order of the view.
        layers: GeoJSON files, and maps.
        assume_mpp: µm per pixel of images that state none.
        mpp: image -> µm per pixel, whatever it states.
        tile_size: side of a tile, px.

    Raises:
        UserError: a given file cannot be opened, or `tile_size` is wrong.
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
        for path in _distinct(layers):
            _add_layer(scene, path, tile_size)
        for path in _distinct(_beside(images), listed=(*images, *layers)):
            try:
                _add_layer(scene, path, tile_size)
            except UserError as error:
                scene.notes.append(f"layer {path.name} is left out: {error}")
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


def _distinct(paths: Iterable[Path], *, listed: Sequence[Path] = ()) -> Iterator[Path]:
    """The paths of different files, in their order, without the files of `listed`."""
    seen = {os.path.realpath(path) for path in listed}
    for path in paths:
        file = os.path.realpath(path)
        if file not in seen:
            seen.add(file)
            yield path


def _beside(images: Sequence[Path]) -> Iterator[Path]:
    """The files that `mihatp upscale --maps` and `mihatp nuclei segment` write beside an image.

    Maps are of an output of `mihatp upscale`: they are no layers of a scan with the same name in the same folder.
    """
    for image in images:
        stem = image.with_suffix("")
        maps = _MAPS if is_computed(image) else ()
        names = [f"{stem.name}.{name}{suffix}" for name in maps for suffix in (".tif", ".geojson")]
        for path in (stem.with_name(name) for name in (*names, f"{stem.name}.geojson")):
            if path.is_file():
                yield path


def _add_layer(scene: Scene, path: Path, tile_size: int) -> None:
    file = _file(path)
    image = _image_of(file, scene.tiles[: scene.images])
    if file.suffix.lower() in outlines.SUFFIXES:
        data = outlines.read_outlines(file, origin=scene.tiles[image].origin)
        scene.layers.append(Layer(file.name, image, outlines=data))
        return
    tiles = Tiles(file, tile_size=tile_size, heat=True)
    scene.tiles.append(tiles)
    scene.layers.append(Layer(file.name, image, tiles=len(scene.tiles) - 1))


def _image_of(path: Path, images: Sequence[Tiles]) -> int:
    """The image of a layer.

    An image in the folder of the layer goes before the others. Then the longest name that begins the name of the layer
    counts. Of several images with this name, a map of trust belongs to that of most pixels, or to the last of these:
    the output of `mihatp upscale` is larger than the scan. Any other layer belongs to the first.
    """
    folder = os.path.realpath(path.parent)
    is_map = Path(path.stem).suffix.removeprefix(".") in _MAPS

    def rank(number: int) -> tuple[bool, int, int, int]:
        image = images[number]
        stem = image.path.with_suffix("").name
        fits = path.name.startswith(f"{stem}.")
        pixels, order = (image.size[0] * image.size[1], number) if fits and is_map else (0, -number)
        return os.path.realpath(image.path.parent) == folder, len(stem) if fits else 0, pixels, order

    return max(range(len(images)), key=rank)


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
