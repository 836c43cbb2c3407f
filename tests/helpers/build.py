"""Small synthetic slides of several patients, and how the tests build from them."""

from datasets_prep.build import Limits, prepare
from datasets_prep.patches.quality import Quality
from datasets_prep.patches.scan import ScanOptions
from datasets_prep.synthetic.slide import write_synthetic_slide

PATIENTS = 4  # train, val and two test sets


def barcode(index):
    return f"TCGA-BB-{index:04}-01Z-00-DX1"


def write_slides(folder, *, side=2304):
    """Slides of all patients at 40x."""
    folder.mkdir()
    for index in range(PATIENTS):
        flavour = "svs" if index % 2 else "generic"
        name = f"{barcode(index)}.{'svs' if index % 2 else 'tif'}"
        write_synthetic_slide(folder / name, width=side + 7 * index, height=side, seed=index, flavour=flavour)
    return folder


def build(slides, out, *, lr="area", patch_size=96, limits=None, **options):
    """Patches of 96 px, few enough for a test, of slides that are fit for it."""
    return prepare(
        slides if isinstance(slides, list) else [slides],
        out,
        options=ScanOptions(patch_size=patch_size, lr=lr, preset="biopsy"),
        quality=Quality(),
        limits=limits or Limits(train=40, val=8, test=8),
        **({"tests": PATIENTS - 2, "progress": False} | options),
    )
