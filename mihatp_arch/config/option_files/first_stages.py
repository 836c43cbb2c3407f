"""The table of first stages, in whose latents LDM and ResShift work, and the first stage of each scale."""

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
It gets HR in the place of LR. Its PSNR is that of the reconstruction, which bounds the PSNR of LDM and ResShift.
It does not read LR: one first stage serves every scale of the same HR.
"""

_ADAM = """
type: Adam
lr: !!float 3.6e-5  # LDM: 4.5e-6 for each image of a batch
weight_decay: 0
betas: [0.5, 0.9]
"""


def _first_stage(
    name: str, kind: str, network: str, train: str, gigabytes: float, *, scales: tuple[int, ...]
) -> Method:
    return Method(
        name=name,
        about=_ABOUT.format(kind=kind),
        scales=scales,
        model_type="FirstStageModel",
        network=f"type: Autoencoder\n{network}",
        batch_size="8",
        ema_decay="0  # LDM trains the first stage without an average",
        optimizer=_ADAM,
        milestones="[50000]  # constant",
        total_iter="50000  # not in the paper",
        pixel_note="LDM adds LPIPS and a discriminator, which lower PSNR",
        train=train,
        keep_checkpoints=f"3  # {gigabytes} GB each",
        benchmark=None,
    )


_KL_WEIGHT = "latent_weight: 5.0e-7  # LDM: 1e-6, for the L1 of images in [-1, 1], which is twice the L1 here"

VQF4 = _first_stage(
    "VQF4", "VQ-f4", _VQ_F4, "latent_weight: 1.0  # weight of the loss of the codebook", 0.7, scales=(2, 4, 8)
)
KLF4 = _first_stage("KLF4", "KL-f4", _KL_F4, _KL_WEIGHT, 0.7, scales=(4, 8))
KLF2 = _first_stage("KLF2", "KL-f2", _KL_F2, _KL_WEIGHT, 0.2, scales=(2,))

# The first stage of LDM and ResShift, by scale.
STAGES = {2: KLF2.name, 4: VQF4.name, 8: VQF4.name}
_NETWORKS = {2: _KL_F2, 4: _VQ_F4, 8: _VQ_F4}

# The lines `first_stage:` of a network, by scale.
FIRST_STAGE = {
    scale: f"first_stage:  # as in options/train_{STAGES[scale]}_x{scale}.yml\n{indent(network, '  ')}"
    for scale, network in _NETWORKS.items()
}
