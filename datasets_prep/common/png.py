"""Encode an image as PNG, and decode PNG or JPEG bytes: the ONE place of each."""

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.image_flaws import image_flaw

COMPRESS_LEVEL = 1  # BasicSR's default: fast decoding matters more than the last per cent of size


def encode_png(rgb: NDArray[np.uint8]) -> bytes:
    """Encode an image, [H, W, 3] uint8 RGB, as PNG bytes that `cv2.imdecode` (thus BasicSR) reads as BGR.

    Raises:
        UserError: OpenCV cannot encode the array.
    """
    # Run-length coding is a fifth faster than zlib's default search at this level. On tissue its files are smaller too.
    options = [cv2.IMWRITE_PNG_COMPRESSION, COMPRESS_LEVEL, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, png = cv2.imencode(".png", rgb[..., ::-1], options)
    if not done:
        raise UserError(f"an image of shape {rgb.shape} could not be encoded as PNG")
    return png.tobytes()


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Decode image bytes of any format that OpenCV reads, as BasicSR decodes them: [H, W, 3] uint8 RGB.

    Raises:
        UserError: the bytes are damaged or cut off. OpenCV would return the readable part of a damaged PNG; here that
            is an error too. The message does not name the file: the caller adds it.
    """
    flaw = image_flaw(data)
    if flaw:
        raise UserError(flaw)
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no bytes at all
        bgr = None
    if bgr is None or bgr.dtype != np.uint8:
        raise UserError("it is no image that OpenCV can decode")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
