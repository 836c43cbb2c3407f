"""Every method that has option files, in the order of Table 1 of the paper. A new method gets its name here."""

from mihatp_arch.config.option_files.dat_methods import DAT_LIGHT, HE_LIGHT
from mihatp_arch.config.option_files.diffusion_methods import IDM, LDM, RESSHIFT
from mihatp_arch.config.option_files.first_stages import KLF2, KLF2GAN, KLF4, VQF4, VQF4GAN
from mihatp_arch.config.option_files.methods import HAT, MIHATP, MIHATP_PLUS, SHISRCNET, SRCNN, SWINIR

METHODS = (
    SRCNN,
    LDM,
    IDM,
    RESSHIFT,
    SHISRCNET,
    SWINIR,
    DAT_LIGHT,
    HAT,
    MIHATP,
    MIHATP_PLUS,
    VQF4,
    KLF4,
    KLF2,
    VQF4GAN,
    KLF2GAN,
    HE_LIGHT,
)
