"""Damage that the bytes of an image show before they are decoded. Decoders return the readable part in silence."""

import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


def image_flaw(data: bytes) -> str:
    """The damage of an image, such as "its PNG is cut off"; empty where nothing shows.

    Every chunk of a PNG has a checksum. A JPEG has an end, so only a missing end shows. Other formats are not checked.
    """
    if not data:
        return "it is empty"
    if data.startswith(_PNG):
        return _png_flaw(data)
    if data.startswith(_JPEG) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):  # a thumbnail has an end of its own
        return "its JPEG is cut off"
    return ""


def _png_flaw(data: bytes) -> str:
    start = len(_PNG)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data):
            break
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return "its PNG is damaged"
        if data[start + 4 : start + 8] == b"IEND":
            return ""
        start = end
    return "its PNG is cut off"
