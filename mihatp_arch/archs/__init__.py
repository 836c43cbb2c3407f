"""The networks. Importing this package registers them with BasicSR.

A new network is one `*_arch.py` file and one line here.
"""

from mihatp_arch.archs.autoencoder_arch import Autoencoder
from mihatp_arch.archs.dat_arch import DAT
from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.archs.idm_arch import IDM
from mihatp_arch.archs.ldm_arch import LDM
from mihatp_arch.archs.mihatp_arch import MiHATP
from mihatp_arch.archs.patch_discriminator_arch import NLayerDiscriminator
from mihatp_arch.archs.resshift_arch import ResShift
from mihatp_arch.archs.shisrcnet_arch import SHISRCNet
from mihatp_arch.archs.spandrel_arch import Spandrel
from mihatp_arch.archs.srcnn_arch import SRCNN

__all__ = [
    "DAT",
    "HAT",
    "IDM",
    "LDM",
    "SRCNN",
    "Autoencoder",
    "HoVerNet",
    "MiHATP",
    "NLayerDiscriminator",
    "ResShift",
    "SHISRCNet",
    "Spandrel",
]
