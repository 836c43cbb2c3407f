"""The discriminator of LDM's first stages: PatchGAN of pix2pix (Isola et al., CVPR 2017)."""

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.errors import UserError


@ARCH_REGISTRY.register()
class NLayerDiscriminator(nn.Module):
    """Scores of overlapping patches, higher for HR: `[B, 3, H, W]` in [-1, 1] -> `[B, 1, h, w]`.

    It has the name and the layers of the class in the authors' code, without ActNorm. With `num_layers` 3, a score
    sees 70×70 pixels.

    Args:
        num_in_ch: channels of an image.
        num_feat: channels of the first layer; each layer doubles them, up to eight times `num_feat`.
        num_layers: layers that halve the sides.

    Raises:
        UserError: an option is less than 1.
    """

    def __init__(self, *, num_in_ch: int = 3, num_feat: int = 64, num_layers: int = 3) -> None:
        super().__init__()
        if min(num_in_ch, num_feat, num_layers) < 1:
            raise UserError("network: num_in_ch, num_feat and num_layers of NLayerDiscriminator must be 1 or more each")
        widths = [num_feat * min(2**layer, 8) for layer in range(num_layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(num_in_ch, num_feat, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for layer in range(1, num_layers + 1):
            stride = 2 if layer < num_layers else 1
            layers += [
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(widths[layer]),
                nn.LeakyReLU(0.2),
            ]
        self.main = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.smallest = 3 * 2**num_layers  # the least side of an image
        self.apply(_init)

    def forward(self, image: Tensor) -> Tensor:
        """The scores of the patches."""
        return self.main(image)


def _init(module: nn.Module) -> None:
    """The initialisation of pix2pix: weights from N(0, 0.02²), scales of normalisation from N(1, 0.02²)."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
