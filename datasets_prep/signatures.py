"""The data sets of this program, and the first lines of their files, by which their folders are known."""

import re
from pathlib import Path

from datasets_prep.common.atomic_folder import Signature, has_signature

MANIFEST = "manifest.csv"
PATCH_COLUMNS = ("key", "slide", "patient", "split", "x", "y", "level", "mpp", "tissue", "lr_source", "sha1")
NUCLEI_COLUMNS = ("image", "labels", "split", "patient", "nuclei", "types", "mpp", "source")
PATCHES: Signature = {MANIFEST: re.escape(",".join(PATCH_COLUMNS)) + "$"}
NUCLEI: Signature = {MANIFEST: "image,labels,split,patient,nuclei,types"}


def is_data_set(folder: Path) -> bool:
    """Whether `mihatp prepare` or `mihatp nuclei prepare` wrote `folder`. Raises `OSError`."""
    return has_signature(folder, PATCHES) or has_signature(folder, NUCLEI)
