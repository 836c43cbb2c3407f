"""The methods that learn by regression; diffusion methods are in diffusion_methods.py, and table.py lists all."""

from mihatp_arch.config.option_files.method import SAME_BUDGET, Method, everywhere

_USE_CHECKPOINT = {
    2: "true  # false needs about 5.5 GB for each image and branch (bf16: 4 GB); train.cuda_graphs needs false",
    4: "true  # false needs about 1.5 GB for each image and branch (bf16: 1 GB); train.cuda_graphs needs false",
    8: "false  # a training needs about 0.4 GB for each image and branch",
}

MIHATP = Method(
    name="MiHATP",
    about="""
MiHATP x$scale, at the settings of the paper (section 3.1). "not in the paper": the paper leaves this value open.
""",
    model_type="MiHATPModel",
    network_note="F_base; F_con has the same options unless network_c gives others",
    network="""
type: MiHATP
upscale: $scale
in_chans: 3
img_size: $lr_size  # width of the LR patch; fixes the stride of deformable attention to $lr_size / 8 = $stride
window_size: $window_size
embed_dim: 180  # not in the paper: from here to qkv_bias the values of HAT, except depths
depths: [6, 6, 6, 6, 6, 6]  # paper 3.1: six M-RHAG of six M-HAB
num_heads: [6, 6, 6, 6, 6, 6]
compress_ratio: 3
squeeze_factor: 30
overlap_ratio: 0.5
mlp_ratio: 2
qkv_bias: true
alpha: 0.01  # paper 3.1
beta: 0.01  # paper 3.1
learnable_scales: $learnable_scales
norm_residual: $norm_residual
sample_grid: 8  # not in the paper: deformable attention reads 8×8 keys on a training patch
num_groups: 2  # not in the paper
offset_range: 2.0  # DAT, CVPR 2022
position: lepe  # not in the paper: lepe, bias or none
drop_path_rate: 0.1  # HAT
img_range: 1.
upsampler: pixelshuffle
resi_connection: 1conv
use_checkpoint: $use_checkpoint
consistency: $consistency
global_skip: $global_skip
""",
    by_scale={
        "learnable_scales": everywhere(
            "false  # the paper gives α and β as numbers; true: each block learns its own, from these on"
        ),
        "global_skip": everywhere("false  # true: the network learns the difference to bicubic interpolation"),
        "norm_residual": everywhere("true  # Eq. 4 as printed; false to start from HAT weights"),
        "consistency": everywhere(
            "false  # true: the last layer makes the k×k mean of the output equal to LR (only where LR is that of HR)"
        ),
        "stride": {2: "12", 4: "6", 8: "3"},
        "window_size": {
            2: "16  # not in the paper; the window of HAT, so that its weights can start this network",
            4: "16  # not in the paper; the window of HAT, so that its weights can start this network",
            8: "12  # not in the paper; 24 is no multiple of 16, and padding to 32 makes a step 1.8 times slower",
        },
        "use_checkpoint": _USE_CHECKPOINT,
    },
    path="pretrain_network_c: ~  # the same for F_con; ~: it starts at random",
    pixel_note="Eq. 6 and 7",
    train="""
contrastive_opt:  # Eq. 8 and 9
  type: ContrastiveLoss
  loss_weight: 0.01  # λ, paper 3.1
  tau: 0.05  # τ, paper 3.1
  image_space: true  # IS of Table 3: layer 0 is the image
  features:  # not in the paper: the network and its layers
    network: vgg19
    weights: imagenet  # or a path, or random (no download)
    layers: [relu1_1, relu2_1, relu3_1, relu4_1, relu5_1]
reversible_opt:  # RTP of Table 3, T_for and T_inv; ~ switches it off
  k_p: 1  # K_p, not in the paper
  elements: ~  # not in the paper; ~: the seven flips and quarter turns of a square
irreversible_opt:  # ITP of Table 3, T_irr; ~ switches it off
  k_n: 4  # K_n, not in the paper
  operations_on: lr  # the paper: "low-quality negative samples"; hr: on HR, where many are better than SR at x4 and x8
  operations: ~  # not in the paper; ~: blurs, noises, JPEG; one of the K_n is always down-up by the scale
share_branches: false  # paper 2.1: θ_base and θ_con
detach_positive: false  # Eq. 5: gradients through both branches
probe_freq: 500  # a line in the log about the contrastive loss and Eq. 4; 0: none. It changes nothing of the training
""",
)

MIHATP_PLUS = Method(
    name="MiHATPplus",
    about="""
MiHATPplus x$scale: the network of MiHATP as we recommend it, on the data and budget of train_MiHATP_x$scale.yml.
Lines with "ours" differ from the paper; docs/results.md has the measurements. There is one branch: the second one and
the contrastive loss make a step two to four times as long, and no gain by them has been measured yet.
""",
    model_type="SRModel",
    network=MIHATP.network,
    by_scale={
        **MIHATP.by_scale,
        "learnable_scales": everywhere("true  # ours: each block learns its α and β, from these on"),
        "norm_residual": everywhere("false  # ours: Eq. 4 without its lone X_Norm, so that HAT weights can start it"),
        "global_skip": everywhere("true  # ours: the network learns the difference to bicubic interpolation"),
        "consistency": everywhere("true  # ours: the k×k mean of the output is LR; false where LR is not that of HR"),
    },
)

HAT = Method(
    name="HAT",
    about=f"HAT x$scale (Chen et al., CVPR 2023), {SAME_BUDGET}",
    model_type="SRModel  # HAT pads inside the network",
    network="""
type: HAT
upscale: $scale
in_chans: 3
img_size: $lr_size
window_size: $window_size
embed_dim: 180
depths: [6, 6, 6, 6, 6, 6]
num_heads: [6, 6, 6, 6, 6, 6]
compress_ratio: 3
squeeze_factor: 30
conv_scale: 0.01
overlap_ratio: 0.5
mlp_ratio: 2
qkv_bias: true
drop_path_rate: 0.1
img_range: 1.
upsampler: pixelshuffle
resi_connection: 1conv
use_checkpoint: $use_checkpoint
consistency: false  # true: the last layer makes the k×k mean of the output equal to LR (only where LR is that of HR)
global_skip: false  # true: the network learns the difference to bicubic interpolation
""",
    by_scale={
        "window_size": {
            2: "16  # as in the official options",
            4: "16  # as in the official options",
            8: "12  # 24 is no multiple of 16, and padding to 32 makes a step 1.8 times slower",
        },
        "use_checkpoint": _USE_CHECKPOINT,
    },
)

SWINIR = Method(
    name="SwinIR",
    about=f"SwinIR x$scale (Liang et al., ICCVW 2021), {SAME_BUDGET}",
    model_type="SwinIRModel",
    network_note="SwinIR-M for classical super-resolution",
    network="""
type: SwinIR
upscale: $scale
in_chans: 3
img_size: $lr_size
window_size: 8
img_range: 1.
depths: [6, 6, 6, 6, 6, 6]
embed_dim: 180
num_heads: [6, 6, 6, 6, 6, 6]
mlp_ratio: 2
upsampler: pixelshuffle
resi_connection: 1conv
""",
)

SRCNN = Method(
    name="SRCNN",
    about=f"""
SRCNN x$scale (Dong et al., TPAMI 2016), {SAME_BUDGET}
Its paper trains luminance on 33×33 sub-images in batches of 128, by MSE and SGD with momentum at 1e-4 (1e-5 for the
last layer), from weights of N(0, 0.001²). Here data, batch, loss and schedule are those of every method.
""",
    model_type="SRModel",
    network="""
type: SRCNN
upscale: $scale
in_chans: 3
kernels: [9, 5, 5]  # the strongest network of its paper; [9, 1, 5] is the basic one
features: [64, 32]
residual: false
""",
    pixel_note="Eq. 6, the loss of every method; the paper of SRCNN has MSE",
)

SHISRCNET = Method(
    name="SHISRCNet",
    about=f"""
SHISRCNet x$scale (Xie et al., MICCAI 2023), {SAME_BUDGET}
The super-resolution module alone, without the classifier and without the losses that need its labels.
""",
    model_type="SRModel",
    network_note="as in the authors' code",
    network="""
type: SHISRCNet
upscale: $scale
in_chans: 3
num_feat: 64
num_blocks: 3
rates: [1, 2, 4, 8]
""",
    batch_size="8  # not in the paper; the paper of SHISRCNet has 4",
    optimizer="""
type: Adam  # paper 3.1
lr: !!float 1e-4  # paper 3.1; the paper of SHISRCNet has 1e-3, times 0.95 every two epochs
weight_decay: 0
betas: [0.9, 0.99]
""",
)
