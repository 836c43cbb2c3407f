"""CLAM's parameters of tissue segmentation, by the names of its presets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """CLAM's parameters of tissue segmentation. Areas are in units of 512×512 level-0 px.

    Attributes:
        threshold: a pixel with a saturation (0 to 255) above it is tissue. Not used with `otsu`.
        median: side of the median filter, px of the overview, odd.
        close: side of the square of the morphological closing, px of the overview; 0: no closing.
        tissue_area: smaller regions are dropped.
        hole_area: smaller holes are filled.
        max_holes: number of holes of a region; the largest ones count, the others are filled.
        otsu: whether the threshold is computed by Otsu's method.
    """

    threshold: int
    median: int
    close: int
    tissue_area: float
    hole_area: float
    max_holes: int
    otsu: bool = False


PRESETS: dict[str, Preset] = {
    "tcga": Preset(threshold=8, median=7, close=4, tissue_area=16, hole_area=4, max_holes=8),
    "biopsy": Preset(threshold=15, median=11, close=2, tissue_area=1, hole_area=1, max_holes=2),
    "resection": Preset(threshold=15, median=11, close=4, tissue_area=100, hole_area=16, max_holes=8),
    "clam-default": Preset(threshold=8, median=7, close=4, tissue_area=100, hole_area=16, max_holes=8),
}
