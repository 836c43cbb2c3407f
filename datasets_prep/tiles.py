"""Folders of image tiles -> patient-disjoint BasicSR LMDBs: the whole way, one function."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from datasets_prep.atomic import atomic_folder, refuse_existing
from datasets_prep.errors import DataError
from datasets_prep.images import Tile, list_tiles, read_rgb
from datasets_prep.layout import MARKS, Patch, write_dataset
from datasets_prep.patches import MIN_SATURATION, check_sizes, grid, saturation
from datasets_prep.splits import seeded_order

_Place = tuple[Tile, int, int]  # a tile and the (x, y) of a patch in it


@dataclass(frozen=True)
class Built:
    """What a build wrote and what it left out."""

    counts: dict[str, int]  # split -> patches
    patients: dict[str, int]  # split -> patients
    tiles: int
    near_empty: int  # patches dropped for their low saturation
    over_limit: int  # good patches beyond a split's limit


def _scan(
    tiles: Sequence[Tile], *, patch_size: int, min_saturation: float, progress: bool
) -> tuple[dict[str, dict[str, list[_Place]]], int]:
    """Split -> patient -> places worth keeping, and how many were dropped; reads each tile once, one at a time."""
    kept: dict[str, dict[str, list[_Place]]] = defaultdict(lambda: defaultdict(list))
    dropped = 0
    for tile in tqdm(tiles, desc="scanning", unit="tile", disable=None if progress else True):
        rgb = read_rgb(tile.path)
        height, width, _ = rgb.shape
        if min(height, width) < patch_size:
            raise DataError(
                f"{tile.path} is {width}x{height}, smaller than one {patch_size}x{patch_size} patch: "
                "remove it, or use a smaller --patch-size"
            )
        for x, y in grid(height, width, patch_size=patch_size):
            if saturation(rgb[y : y + patch_size, x : x + patch_size]) >= min_saturation:
                kept[tile.split][tile.patient].append((tile, x, y))
            else:
                dropped += 1
    return kept, dropped


def _choose(places: Mapping[str, list[_Place]], limit: int, *, seed: int) -> list[_Place]:
    """Up to `limit` places, one patient after the other in turns, so that no patient crowds out the rest."""
    queues: list[Iterator[_Place]] = []
    for patient in seeded_order(places, seed=seed):
        named = {f"{tile.name}:{x}:{y}": (tile, x, y) for tile, x, y in places[patient]}
        queues.append(iter([named[name] for name in seeded_order(named, seed=seed)]))
    chosen: list[_Place] = []
    while queues and len(chosen) < limit:
        turn = [(queue, place) for queue in queues if (place := next(queue, None))]
        chosen += [place for _, place in turn]
        queues = [queue for queue, _ in turn]
    return sorted(chosen[:limit], key=lambda place: (place[0].name, place[2], place[1]))


def _cut(places: Sequence[_Place], bar: tqdm, *, patch_size: int) -> Iterator[Patch]:
    """The patches of `places`, which are sorted by tile; each tile is read once, one at a time."""
    current, rgb = None, None
    for tile, x, y in places:
        if rgb is None or tile is not current:
            current, rgb = tile, read_rgb(tile.path)
        hr = rgb[y : y + patch_size, x : x + patch_size]
        yield Patch(key=f"{tile.key}_{x}_{y}", image=tile.name, patient=tile.patient, x=x, y=y, hr=hr)
        bar.update()


def _refuse_to_lose(files: Iterable[Path], output: Path) -> None:
    """Raise `DataError` if one of `files` (absolute paths) lies in `output`, which is to be replaced."""
    folders = {folder for file in files for folder in file.parents}
    if output.exists() and any(output.samefile(folder) for folder in folders):
        raise DataError(f"{output} holds tiles or the manifest that it would be made of: name another folder")


def build_from_tiles(
    tiles: Path,
    output: Path,
    *,
    manifest: Path | None = None,
    scales: Sequence[int] = (2, 4, 8),
    patch_size: int = 192,
    tests: int = 5,
    seed: int = 0,
    train_patches: int = 2000,
    val_patches: int = 100,
    test_patches: int = 100,
    min_saturation: float = MIN_SATURATION,
    overwrite: bool = False,
    progress: bool = True,
) -> Built:
    """Cut the tiles under `tiles` into patches and write `<output>/<split>/{HR,LR_x2,LR_x4,LR_x8}.lmdb`.

    HR patches are `patch_size`² pixels of one global grid anchored at (0, 0); LR is their exact area mean. Splits are
    by patient: from TCGA barcodes and the seed, or from the columns `image,patient,split` of `manifest`. Per split at
    most `train_patches`, `val_patches` or `test_patches` (each test set; paper section 3.1: 2000 and 100), drawn in
    turns over its patients. `min_saturation` (0 to 1) drops near-empty patches. `output/manifest.csv` names key, image,
    patient, split, x, y, sha1 of the HR pixels and the LR source.

    The same tiles and seed give the same bytes. The data set appears whole or not at all; memory holds one tile and the
    patches' positions. Raises `DataError` for tiles, manifest, sizes or an output that cannot be used.
    """
    check_sizes(patch_size=patch_size, scales=scales)
    refuse_existing(output, overwrite=overwrite, marks=MARKS)
    sources = list_tiles(tiles, manifest=manifest, tests=tests, seed=seed)
    given = [tiles.resolve() / tile.name for tile in sources]
    given += [manifest.parent.resolve() / manifest.name] if manifest else []
    _refuse_to_lose([*given, *(path.resolve() for path in given)], output)  # links and what they lead to
    kept, near_empty = _scan(sources, patch_size=patch_size, min_saturation=min_saturation, progress=progress)
    limits = {"train": train_patches, "val": val_patches}
    chosen: dict[str, list[_Place]] = {}
    for split in sorted({tile.split for tile in sources}, key=lambda name: (name != "train", name != "val", name)):
        chosen[split] = _choose(kept[split], limits.get(split, test_patches), seed=seed)
        if not chosen[split]:
            raise DataError(f"{split} would be empty: all its patches are near-empty, or its limit is 0")
    total = sum(map(len, chosen.values()))
    with (
        atomic_folder(output, overwrite=overwrite, marks=MARKS) as partial,
        tqdm(total=total, desc="writing", unit="patch", disable=None if progress else True) as bar,
    ):
        cuts = {split: _cut(places, bar, patch_size=patch_size) for split, places in chosen.items()}
        counts = write_dataset(partial, cuts, scales=scales)
    found = sum(len(places) for patients in kept.values() for places in patients.values())
    return Built(
        counts=counts,
        patients={split: len({tile.patient for tile, _, _ in places}) for split, places in chosen.items()},
        tiles=len(sources),
        near_empty=near_empty,
        over_limit=found - total,
    )
