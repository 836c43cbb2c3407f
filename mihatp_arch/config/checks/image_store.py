"""The images of one side (LR or HR) of a paired data set, as BasicSR reads them: an LMDB folder or image files."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from datasets_prep.common.errors import UserError
from datasets_prep.common.image_files import quiet_and_unlimited, refuse_cut_bits, upright_size
from datasets_prep.common.png import decode_rgb
from datasets_prep.dataset.lmdb_reader import open_images

_FILES_MEASURED = 2000  # one header each, about a second on a local disk; of a larger folder only these are measured


class StoreError(Exception):
    """A mistake in one side of a data set; the caller adds which side."""


@dataclass(frozen=True)
class ImageStore:
    """Image names in the order of BasicSR, and (height, width) in pixels of the measured images."""

    names: list[str]
    sizes: dict[str, tuple[int, int]]


def read_lmdb(folder: Path) -> ImageStore:
    """Names and sizes by `meta_info.txt`, after the database has been opened and its first image decoded.

    Raises:
        StoreError: no LMDB in BasicSR's layout, empty, cut off, or at odds with its own list.
    """
    try:
        with open_images(folder) as reader:
            key, size = next(iter(reader.sizes.items()))
            data = reader.get(key)
    except UserError as error:
        raise StoreError(str(error)) from error
    try:
        decoded = decode_rgb(data).shape[:2]
    except UserError as error:
        raise StoreError(f"{folder} is damaged: {key}: {error}; make it again") from error
    if decoded != size:
        raise StoreError(f"{folder} is damaged: {key} is {_text(decoded)}, meta_info.txt says {_text(size)}")
    return ImageStore(reader.names, reader.sizes)


def read_folder(folder: Path, names: list[str] | None = None) -> ImageStore:
    """Names and sizes of the image files in `folder`: all of them, or those that a meta_info_file names.

    Raises:
        StoreError: no folder, no image, a named file that is missing, a file that is no image.
    """
    if not folder.is_dir():
        raise StoreError(f"'{folder}' is no folder")
    if names is None:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not names:
        raise StoreError(f"'{folder}' is empty")
    sizes: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(islice(names, _FILES_MEASURED)):
        try:
            with quiet_and_unlimited(), Image.open(folder / name) as image:
                refuse_cut_bits(folder / name, image)
                width, height = upright_size(image)
                sizes[name] = (height, width)
                if number == 0:  # the first image is decoded completely
                    image.load()
        except FileNotFoundError:
            raise StoreError(f"'{folder / name}' is missing") from None
        except UserError as error:
            raise StoreError(str(error)) from error
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            shown = str(folder / name).replace("\0", "\\0")
            raise StoreError(f"'{shown}' is no image that can be read") from error
    return ImageStore(names, sizes)


def listed(file: str | None) -> list[str] | None:
    """The HR image names in a meta_info_file; None for None. Raises `StoreError` where it cannot be read."""
    if file is None:
        return None
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise StoreError(f"the meta_info_file '{file}' cannot be read") from error
    return [line.split(" ")[0] for line in lines]


def renamed(template: str, name: str) -> str:
    """The name of the LR image of the HR image `name`. Raises `StoreError` where `filename_tmpl` is no template."""
    file = Path(name)
    try:
        return template.format(file.stem) + file.suffix
    except (AttributeError, LookupError, ValueError) as error:
        raise StoreError(f"filename_tmpl {template!r} cannot be filled in: one {{}} stands for the name") from error


def _text(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
