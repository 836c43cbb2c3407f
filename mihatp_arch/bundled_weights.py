"""The weights in this package: small networks for H&E, each with a model card in its file."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from mihatp_arch.errors import UserError
from mihatp_arch.file_hash import refuse_damaged

_FOLDER = "inference/weights"
_LENGTH = 8  # bytes at the start of a safetensors file: the length of its header


def bundled_weights(pattern: str = "*") -> dict[str, Path]:
    """Name -> file of the weights in this package, such as `he-light-x4`, whose names match `pattern`."""
    folder = Path(str(resources.files("mihatp_arch"))) / _FOLDER
    return {path.stem: path for path in sorted(folder.glob(f"{pattern}.safetensors"))}


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, read without torch. Raises `UserError` where it is missing or damaged."""
    refuse_damaged(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is cut off")
            header: Any = json.loads(file.read(length))
        return dict(header.get("__metadata__") or {})
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"'{path}' is damaged, or no safetensors file ({error})") from error
