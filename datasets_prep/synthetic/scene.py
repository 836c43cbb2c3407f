"""The content of a synthetic slide: islands of tissue on glass, pen marks, and a black strip that was not scanned."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.synthetic.image import synthesize
from datasets_prep.synthetic.textures import Array, smooth_noise

CELL = 16  # px of level 0 that one pixel of the scene's maps spans
_ISLAND = (3000, 6000)  # px, approximate width and height of the field of one island
_UNIT = 204  # the byte of tissue weight 1; weights up to 1.25 fit a byte
_SEAM = 48  # px, width of the blend between two blocks of tissue
_EDGE = 6.0  # px, width of the blend between tissue and glass
# Light that passes through each ink (RGB, 0 to 255).
_INKS = ((48, 74, 178), (52, 150, 84), (26, 25, 30))


class Scene:
    """A slide of `width`×`height` px that is fully determined by `seed`.

    Attributes:
        width, height: size, px.
        tissue, pen, black: [⌈H/16⌉, ⌈W/16⌉] bool, the content at the centre of each 16×16 px. Where a pen mark or the
            black strip covers tissue, both maps are true.
    """

    def __init__(self, width: int, height: int, *, seed: int, pen: bool, black: bool) -> None:
        self.width, self.height = width, height
        self._rng = np.random.default_rng(seed)
        rows, columns = -(-height // CELL), -(-width // CELL)
        bare = max(2, columns // 25) if black else 0  # columns of the black strip
        self.black: NDArray[np.bool_] = np.zeros((rows, columns), bool)
        self.black[:, columns - bare :] = bare > 0
        self._depth = self._islands(rows, columns, columns - bare)
        self.tissue: NDArray[np.bool_] = self._depth > 0
        self._ink, self.pen = self._strokes(rows, columns - bare, columns) if pen else (None, np.zeros_like(self.black))
        stain = 1 + 0.1 * smooth_noise(rows, columns, 60, self._rng) + 0.05 * smooth_noise(rows, columns, 18, self._rng)
        self._stain = np.clip(stain, 0.7, 1.25)
        longest = max(width, height)
        side = 512 if longest <= 2048 else 1024 if longest <= 4096 else 2048
        texture = 255 - synthesize(side, side, seed=seed)[0]  # absorbed light
        self._textures = [at[::v, ::h] for at in (texture, texture.swapaxes(0, 1)) for v in (1, -1) for h in (1, -1)]
        self._block = side // 2
        blocks = (height // self._block + 2, width // self._block + 1)
        self._turns = self._rng.integers(0, 8, blocks)
        self._corners = self._rng.integers(0, side - self._block - _SEAM + 1, (*blocks, 2))
        glass = np.clip(np.percentile(texture, 0.5, axis=(0, 1)), 6, 16)
        glass = glass.mean() + np.clip(glass - glass.mean(), -1.5, 1.5)  # nearly colourless
        noise = glass + 1.3 * self._rng.standard_normal((512, 1024, 3), dtype=np.float32)
        self._glass = np.clip(np.rint(noise), 0, 255).astype(np.uint8)

    def _islands(self, rows: int, columns: int, used: int) -> Array:
        """Distance of each cell from the border of the tissue, level-0 px; negative on glass."""
        rng = self._rng
        ys, xs = np.mgrid[:rows, :columns].astype(np.float32)
        depth = np.full((rows, columns), -np.inf, np.float32)
        for top, bottom in _split(rows, _ISLAND[1] // CELL):
            for left, right in _split(used, _ISLAND[0] // CELL):
                height, width = bottom - top, right - left
                a, b = width * rng.uniform(0.38, 0.44), height * rng.uniform(0.38, 0.44)
                dy = ys - (top + bottom) / 2 - rng.uniform(-0.03, 0.03) * height
                dx = xs - (left + right) / 2 - rng.uniform(-0.03, 0.03) * width
                bent = dx + 0.12 * width * np.sin(dy / height * rng.uniform(3, 6) + rng.uniform(0, 6))
                depth = np.maximum(depth, (1 - np.hypot(bent / a, dy / b)) * min(a, b))
        for scale, height in ((60, 8), (20, 3), (6, 1)):
            depth += height * smooth_noise(rows, columns, scale, rng)
        return CELL * depth

    def _strokes(self, rows: int, width: int, columns: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Light that passes through the pen marks, [H/16, W/16, 3] (255: all light), and the mask of the pen marks."""
        rng = self._rng
        ink = np.full((rows, columns, 3), 255, np.uint8)
        drawn = np.zeros((rows, columns), np.uint8)
        thick = max(4, round(0.012 * min(rows, width)))
        for colour in _INKS:
            stroke = np.zeros((rows, columns), np.uint8)
            along = np.linspace(0, 1, 40)
            (x0, x1), (y0, y1) = rng.uniform(0.04, 0.9, 2), rng.uniform(0.04, 0.9, 2)
            x1, y1 = (x0 + 0.35, y1) if x0 < 0.5 else (x0 - 0.35, y1)
            wave = 0.02 * np.sin(along * rng.uniform(5, 9) + rng.uniform(0, 6))
            line = np.stack([(x0 + (x1 - x0) * along + wave) * width, (y0 + (y1 - y0) * along - wave) * rows], axis=-1)
            cv2.polylines(stroke, [np.rint(line).astype(np.int32)], False, 255, thick, cv2.LINE_AA)
            for x, y in rng.uniform(0.03, 0.97, (2, 2)):
                cv2.circle(stroke, (round(x * width), round(y * rows)), round(1.2 * thick), 255, -1, cv2.LINE_AA)
            stroke[:, width:] = 0
            share = stroke[..., None] / 255
            ink = np.minimum(ink, np.rint(255 - share * (255 - np.array(colour)))).astype(np.uint8)
            drawn = np.maximum(drawn, stroke)
        return ink, drawn > 127

    def rows(self, top: int, height: int) -> NDArray[np.uint8]:
        """Rows of the slide, [height, W, 3] uint8 RGB.

        Args:
            top: first row, a multiple of 16.
            height: number of rows, a multiple of 16. Rows below the end of the slide are filled too.
        """
        light = self._tissue_rows(top, height)
        shift = np.random.default_rng((top, self.height)).integers(0, 512, 2)  # otherwise the noise would repeat
        glass = np.roll(self._glass, shift, (0, 1))
        tiled = np.tile(glass, (-(-height // 512), -(-self.width // 1024), 1))[:height, : self.width]
        light = cv2.bitwise_not(cv2.max(light, tiled))
        if self._ink is not None:
            ink = self._upsample(self._ink, top, height)
            light = cv2.multiply(light, ink, scale=1 / 255)
        bare = np.flatnonzero(self.black[0])
        if len(bare):
            light[:, bare[0] * CELL :] = tiled[:, bare[0] * CELL :] // 2
        return np.asarray(light, np.uint8)

    def _tissue_rows(self, top: int, height: int) -> NDArray[np.uint8]:
        """Light that the tissue absorbs, [height, W, 3] uint8."""
        share = np.clip(self._upsample(self._depth, top, height) / _EDGE + 0.5, 0, 1)
        weight = np.rint(share * self._upsample(self._stain, top, height) * _UNIT).astype(np.uint8)
        if not weight.any():
            return np.zeros((height, self.width, 3), np.uint8)
        taken = np.concatenate(list(self._patchwork(top, height)))
        return np.asarray(cv2.multiply(taken, cv2.merge([weight] * 3), scale=1 / _UNIT), np.uint8)

    def _patchwork(self, top: int, height: int) -> Iterator[NDArray[np.uint8]]:
        """Rows of tissue of any number: turned blocks of one texture, each blended into its neighbours."""
        block, end = self._block, top + height
        for row in range(top // block, (end - 1) // block + 1):
            first, last = max(top - row * block, 0), min(end - row * block, block)
            rows = self._block_rows(row, first, last)
            seam = min(last, _SEAM) - first
            if seam > 0:
                share = (np.arange(first, first + seam, dtype=np.float32)[:, None, None] + 0.5) / _SEAM
                above = self._block_rows(row - 1, first + block, first + block + seam)
                rows[:seam] = np.rint(share * rows[:seam] + (1 - share) * above)
            yield rows

    def _block_rows(self, row: int, first: int, last: int) -> NDArray[np.uint8]:
        """Rows `first` to `last` of one row of blocks; row -1 is the last row of blocks."""
        block = self._block
        rows = np.empty((last - first, self._turns.shape[1] * block + _SEAM, 3), np.uint8)
        share = ((np.arange(_SEAM, dtype=np.float32) + 0.5) / _SEAM)[:, None]
        for column, turn in enumerate(self._turns[row]):
            y, x = self._corners[row, column]
            new = self._textures[turn][y + first : y + last, x : x + block + _SEAM]
            left = column * block
            before = rows[:, left : left + _SEAM].copy()
            rows[:, left : left + block + _SEAM] = new
            if column:
                rows[:, left : left + _SEAM] = np.rint(share * new[:, :_SEAM] + (1 - share) * before)
        return rows[:, : self.width]

    def _upsample(self, field: NDArray, top: int, height: int) -> NDArray:
        """Rows of a map at full size, linearly interpolated. A row is the same in every call that includes it."""
        first, count = top // CELL, height // CELL
        rows = np.clip(np.arange(first - 1, first + count + 1), 0, len(field) - 1)
        fine = cv2.resize(field[rows], None, fx=CELL, fy=CELL, interpolation=cv2.INTER_LINEAR)
        return fine[CELL:-CELL, : self.width]


def _split(length: int, about: int) -> list[tuple[int, int]]:
    """Divide 0 … `length` into up to 4 equal intervals of length `about`, approximately."""
    parts = min(4, max(1, round(length / about)))
    return [(length * part // parts, length * (part + 1) // parts) for part in range(parts)]
