"""Encoders of PNG: what `mihatp prepare` uses, beside others."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import cv2
import imagecodecs
import numpy as np
from report import Row, Settings
from slides.clam import RGB
from timing import alternate, ratio, spread

from datasets_prep.common.png import COMPRESS_LEVEL, encode_png

OURS = "average filter, libdeflate (ours)"
_RUN_LENGTHS = (cv2.IMWRITE_PNG_COMPRESSION, COMPRESS_LEVEL, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
_AVERAGE = (cv2.IMWRITE_PNG_COMPRESSION, COMPRESS_LEVEL, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG)


def _opencv(rgb: RGB, *, options: Sequence[int]) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(options))[1].tobytes()


def _libpng(rgb: RGB) -> bytes:
    return bytes(imagecodecs.png_encode(rgb, level=COMPRESS_LEVEL))


ENCODERS: Mapping[str, Callable[[RGB], bytes]] = {
    "OpenCV, run lengths": partial(_opencv, options=_RUN_LENGTHS),
    "OpenCV, average filter": partial(_opencv, options=_AVERAGE),
    "imagecodecs (libpng)": _libpng,
    OURS: encode_png,
}


def png_rows(images: Sequence[RGB], settings: Settings) -> list[Row]:
    """A row for each encoder: ms for an image to encode and to decode, size, and how many times faster ours is."""
    files = {name: [encode(image) for image in images] for name, encode in ENCODERS.items()}
    for name, encoded in files.items():
        for image, data in zip(images, encoded, strict=True):
            assert np.array_equal(_decoded(data)[..., ::-1], image), name
    encoding = {name: partial(_each, encode, images) for name, encode in ENCODERS.items()}
    decoding = {name: partial(_each, _decoded, encoded) for name, encoded in files.items()}
    times = [
        alternate(calls, repeats=settings.repeats, device="cpu", what=what, at_least=0.2)
        for what, calls in (("encode", encoding), ("decode", decoding))
    ]
    rows: list[Row] = []
    for name, encoded in files.items():
        row: dict[str, str | float] = {"encoder, level 1": name}
        for what, seconds in zip(("encode", "decode"), times, strict=True):
            against = ratio(seconds[name], seconds[OURS])
            row |= {f"{what}, ms": 1e3 * spread(seconds[name]).median / len(images)}
            row |= {f"x ours: {what}": against.median, f"range: {what}": against.range()}
        rows.append(row | {"kB": sum(map(len, encoded)) / len(encoded) / 1e3})
    return rows


def _decoded(data: bytes) -> RGB:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _each(call: Callable[..., object], items: Sequence[object]) -> None:
    for item in items:
        call(item)
