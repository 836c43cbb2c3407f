"""Small synthetic slides of several patients, and builds of small data sets from them."""

from datasets_prep.patches.options import Limits, QualityFilter, ScanOptions, SplitOptions
from datasets_prep.prepare import prepare
from datasets_prep.synthetic.slide import write_synthetic_slide

PATIENTS = 4  # train, val and two test sets


def barcode(index):
    return f"TCGA-BB-{index:04}-01Z-00-DX1"


def write_slides(folder, *, side=2304):
    """Write one slide at 40x for each patient."""
    folder.mkdir()
    for index in range(PATIENTS):
        flavour = "svs" if index % 2 else "generic"
        name = f"{barcode(index)}.{'svs' if index % 2 else 'tif'}"
        write_synthetic_slide(folder / name, width=side + 7 * index, height=side, seed=index, flavour=flavour)
    return folder


def build(slides, out, *, lr="area", patch_size=96, limits=None, **options):
    """Patches of 96 px, few enough for a test. `split_by`, `tests` and `seed` go into `SplitOptions`."""
    splits = SplitOptions(
        by=options.pop("split_by", "patient"), tests=options.pop("tests", PATIENTS - 2), seed=options.pop("seed", 0)
    )
    return prepare(
        slides if isinstance(slides, list) else [slides],
        out,
        options=ScanOptions(patch_size=patch_size, lr=lr, preset="biopsy"),
        quality=QualityFilter(),
        limits=limits or Limits(train=40, val=8, test=8),
        splits=splits,
        **({"progress": False} | options),
    )
