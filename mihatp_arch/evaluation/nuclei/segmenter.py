"""A HoVer-Net that segments pictures, wherever its weights lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.files import sha256_of
from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.bundled_weights import bundled_weights
from mihatp_arch.errors import UserError
from mihatp_arch.inference.nuclei.geojson import classes_of
from mihatp_arch.inference.nuclei.load import load_nuclei_network, nuclei_weights
from mihatp_arch.nuclei.postprocess import segment_typed
from mihatp_arch.nuclei.predict import predict
from mihatp_arch.nuclei.windows import WINDOW, is_window, windows_of


@dataclass(frozen=True)
class Segmented:
    """The nuclei of a picture.

    Attributes:
        labels: [H, W].
        types: type of each pixel, [H, W]; None where nuclei are not classified.
    """

    labels: NDArray[np.int32]
    types: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Segmenter:
    """A network and how it is applied.

    Attributes:
        network: in eval mode.
        name: of the weights.
        sha256: of their file.
        window: side of its input, px.
    """

    network: HoVerNet
    name: str
    sha256: str
    window: int

    @property
    def classifies(self) -> bool:
        """Whether nuclei get types."""
        return self.network.nr_types is not None

    @property
    def kinds(self) -> dict[int, str]:
        """Type of nuclei -> its name."""
        return {
            kind: each.name
            for kind, each in enumerate(classes_of(self.network.nr_types, mode=self.network.mode))
            if kind > 0
        }

    @property
    def identity(self) -> str:
        """What its results depend on besides the picture."""
        return f"{self.sha256} {self.window}"

    @property
    def about(self) -> str:
        """A line about it, for reports."""
        parameters = sum(parameter.numel() for parameter in self.network.parameters()) / 1e6
        kinds = "without types" if self.network.nr_types is None else f"{self.network.nr_types - 1} types"
        network = f"HoVer-Net, mode {self.network.mode}, {parameters:.2f} M parameters, {kinds}"
        return (
            f"Nuclei are segmented by {self.name} ({network}; sha256 {self.sha256[:16]}), windows of {self.window} px."
        )

    def segment(self, image: NDArray[np.uint8]) -> Segmented:
        """The nuclei of a picture, [H, W, 3] RGB; all pixels of a nucleus have its type."""
        return Segmented(*segment_typed(predict(self.network, image, window=self.window)))


def load_segmenter(source: str, *, window: int | None = None) -> Segmenter:
    """Load a HoVer-Net and choose its windows.

    Args:
        source: what `load_nuclei_network` takes.
        window: side of its input, px; None: 256 (`fast`) or 270 (`original`), as the official code has it.

    Raises:
        UserError: there is no such file, it holds no HoVer-Net, or the window does not suit it.
    """
    path, network = nuclei_weights(source), load_nuclei_network(source)
    side = WINDOW[network.mode] if window is None else window
    if not is_window(side, network.mode):
        raise UserError(f"window {side}: this network takes {windows_of(network.mode, count=3)} px")
    return Segmenter(network, source if source in bundled_weights() else path.name, sha256_of(path), side)
