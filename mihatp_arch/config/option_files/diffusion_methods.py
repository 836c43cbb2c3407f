"""The table of diffusion methods."""

from mihatp_arch.config.option_files.first_stages import FIRST_STAGE, STAGES
from mihatp_arch.config.option_files.method import CONSTANT_RATE, MSE, Method

_FIRST_STAGE_WEIGHTS = (
    "pretrain_network_first_stage: experiments/${stage}_x$scale/models/net_g_latest.pth  # or a folder of diffusers"
)

_TRAIN_FIRST_STAGE = "Train its first stage before: basicsr train -opt options/train_${stage}_x$scale.yml"

_UPSCALE = {
    2: "2  # beside the latent, which has half the width of HR: LR as it is",
    4: "4  # beside the latent, which has a quarter of the width of HR: LR as it is",
    8: "8  # beside the latent, which has a quarter of the width of HR: LR enlarged twofold",
}

_STAGE = {"upscale": _UPSCALE, "stage": STAGES, "first_stage": FIRST_STAGE}

_MEAN = """
{name}_mean8:  # the same network; SR is the mean of 8 samples
  weights_of: {name}
  force: ["network_g:samples=8"]
"""

_VAL_FREQ = "50000  # sampling takes long"

_SAME_LENGTH = "150000  # as every method here"

IDM = Method(
    name="IDM",
    about="IDM x$scale (Gao et al., CVPR 2023), on the data of train_MiHATP_x$scale.yml.",
    model_type="DiffusionModel",
    network_note="99.80 M parameters",
    network="""
type: IDM
upscale: $scale
num_feat: 64
mult: [1, 2, 4, 8, 8]
num_blocks: 2
dropout: 0.2
attention_levels: [3]  # at 24×24; the middle has attention too
norm_groups: 32
encoder_feat: 64
encoder_blocks: 16
hidden: 256
mlp_gelu: false
timesteps: 2000
beta_start: 1.0e-6
beta_end: 1.0e-2
steps: 200  # DDIM; 2000 with eta 1 samples as SR3 does
eta: 0.0
continuous: true  # trains on other HR sizes too, from the size of LR to the full size
full_scale_share: 0.5  # ours: half of the samples have the full size, at which the method is tested
seed: 0
samples: 1  # k: SR is the mean of k samples
""",
    batch_size="16  # the authors have 32 or more",
    ema_decay="0.9999",
    optimizer="""
type: Adam
lr: !!float 1e-4
weight_decay: 0
betas: [0.9, 0.999]
""",
    milestones=CONSTANT_RATE,
    total_iter=f"{_SAME_LENGTH}; the authors have 1000000 or more",
    pixel_note="on the noise ε",
    val_freq=_VAL_FREQ,
    keep_checkpoints="3  # 1.6 GB each",
)

LDM = Method(
    name="LDM",
    about=f"""
LDM x$scale (Rombach et al., CVPR 2022, super-resolution), on the data of train_MiHATP_x$scale.yml.
{_TRAIN_FIRST_STAGE}
""",
    model_type="DiffusionModel",
    network_note="$size M parameters, without the first stage",
    network="""
type: LDM
upscale: $upscale
$first_stage
channels: [160, 320, 320, 640]
blocks: 2
attention_levels: [3]  # the middle has attention too
head_dim: 32
norm_groups: 32
timesteps: 1000
beta_start: 0.0015
beta_end: 0.0155
steps: 100  # DDIM
eta: 0.0  # the same image for the same LR; the examples of LDM have 1, as overlays/tiny_LDM.yml
seed: 0
samples: 1  # k: SR is the mean of k samples
""",
    by_scale={
        **_STAGE,
        "size": {2: "113.63", 4: "113.62", 8: "113.62"},
        "weights_note": {2: "", 4: "at x4 also a folder as CompVis/ldm-super-resolution-4x-openimages", 8: ""},
    },
    batch_size="16  # the authors have 64",
    path=_FIRST_STAGE_WEIGHTS,
    weights_note="$weights_note",
    ema_decay="0.9999",
    optimizer="""
type: AdamW
lr: !!float 5e-5  # LDM: 1e-6 for each image of a batch of 64
weight_decay: 0.01
betas: [0.9, 0.999]
""",
    milestones=CONSTANT_RATE,
    total_iter=_SAME_LENGTH,
    pixel_opt=MSE,
    pixel_note="on the noise ε",
    val_freq=_VAL_FREQ,
    keep_checkpoints="3  # 2.3 GB each",
    benchmark="first_stage: $stage  # train_${stage}_x$scale.yml; it is trained before LDM and ResShift",
    more_rows=_MEAN.format(name="LDM"),
)

RESSHIFT = Method(
    name="ResShift",
    about=f"""
ResShift x$scale (Yue et al., NeurIPS 2023, T = 15), on the data of train_MiHATP_x$scale.yml.
{_TRAIN_FIRST_STAGE}
Four steps, as in the journal version: steps: 4, min_noise: 0.2
""",
    model_type="DiffusionModel",
    network_note="$size M parameters, without the first stage",
    network="""
type: ResShift
upscale: $upscale
$first_stage
model_channels: 160
channel_mult: [1, 2, 2, 4]
num_res_blocks: 2
swin_embed: 192
swin_heads: 6
swin_depth: 2
window_size: 6  # the authors have 8, for HR of 256; a latent of 48 is no multiple of 8·8
mlp_ratio: 4
norm_groups: 32
steps: 15
kappa: 2.0
min_noise: 0.04
max_root: 0.99
power: 0.3
seed: 0
samples: 1  # k: SR is the mean of k samples
""",
    by_scale={**_STAGE, "size": {2: "118.59", 4: "118.58", 8: "118.58"}},
    batch_size="16  # the authors have 64",
    path=_FIRST_STAGE_WEIGHTS,
    ema_decay="0.999",
    optimizer="""
type: AdamW
lr: !!float 5e-5
weight_decay: 0
betas: [0.9, 0.999]
""",
    milestones=CONSTANT_RATE,
    total_iter=f"{_SAME_LENGTH}; the authors have 300000 to 500000, in batches of 64",
    warmup_iter="5000",
    pixel_opt=MSE,
    pixel_note="on x_0, in the latent",
    val_freq=_VAL_FREQ,
    keep_checkpoints="3  # 2.3 GB each",
    benchmark="first_stage: $stage",
    more_rows=_MEAN.format(name="ResShift"),
)
