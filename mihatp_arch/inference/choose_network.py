"""The network for each picture: that of the given scale, or the one that leads to the wanted µm per pixel."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets_prep.slides.resolution import Resolution, refuse_oblong, stated_resolution
from mihatp_arch.errors import UserError
from mihatp_arch.inference.images import Picture
from mihatp_arch.inference.upscale import Upscaler

_TOLERANCE = 0.1  # of the wanted µm per pixel


@dataclass(frozen=True)
class ChooseNetwork:
    """Chooses the network for a picture; each network is loaded once, when the first picture needs it.

    Attributes:
        load: gives the network of a scale.
        scales: the scales that there are.
        to_mpp: wanted µm per pixel of SR; None: the only one of `scales`.
        assume_mpp: µm per pixel of pictures that do not state it.
        override_mpp: µm per pixel of all pictures, whatever they state.
        say: shows a line to the user, where a picture states another resolution than the user.
    """

    load: Callable[[int], Upscaler]
    scales: Sequence[int]
    to_mpp: float | None = None
    assume_mpp: float | None = None
    override_mpp: float | None = None
    say: Callable[[str], None] = lambda line: None
    _loaded: dict[int, Upscaler] = field(default_factory=dict)

    def __call__(self, picture: Picture, path: Path) -> Upscaler:
        """The network for the picture in `path`. Raises `UserError` where there is none."""
        scale = self.scales[0]
        if picture.sides is not None and self.override_mpp is None:
            hint = "resample it, or give --override-mpp if its resolution is wrong"
            refuse_oblong(path, picture.sides, hint=hint)
        resolution = self._resolution(picture)
        if resolution.note:
            self.say(f"{path}: {resolution.note}")
        if self.to_mpp is not None:
            scale = self._scale(resolution.mpp, self.to_mpp, path)
        if scale not in self._loaded:
            self._loaded[scale] = self.load(scale)
        return self._loaded[scale]

    def settled(self, picture: Picture) -> Picture:
        """The picture with the resolution that counts: its own, or that of the user."""
        resolution = self._resolution(picture)
        if resolution.mpp is None or resolution.source not in ("assumed", "overridden"):
            return picture
        return replace(picture, dpi=(25400 / resolution.mpp, 25400 / resolution.mpp))

    def _resolution(self, picture: Picture) -> Resolution:
        return stated_resolution(picture.mpp, "picture", self.assume_mpp, self.override_mpp)

    def _scale(self, mpp: float | None, to_mpp: float, path: Path) -> int:
        if mpp is None:
            raise UserError(f"{path} does not state its µm per pixel: give --scale or --assume-mpp instead of --to-mpp")
        wanted = mpp / to_mpp
        nearest = min(self.scales, key=lambda scale: abs(math.log(scale / wanted)))
        if abs(wanted / nearest - 1) > _TOLERANCE:
            scales = ", ".join(f"x{scale}" for scale in self.scales)
            raise UserError(
                f"{path} has {mpp:g} µm/px: {to_mpp:g} µm/px is x{wanted:.3g}, there are weights for {scales}"
            )
        return nearest
