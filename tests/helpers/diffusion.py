"""Small diffusion networks whose every parameter is at work."""

from typing import Any

import torch

from mihatp_arch.archs import IDM, LDM, ResShift
from mihatp_arch.archs.diffusion.base import Diffusion

FIRST_STAGE = {"channels": [8, 8, 16], "blocks": 1, "codes": 32, "norm_groups": 4}
SMALL: dict[str, dict[str, Any]] = {
    "LDM": {
        "channels": [16, 32],
        "blocks": 1,
        "attention_levels": [1],
        "head_dim": 8,
        "norm_groups": 4,
        "timesteps": 40,
        "steps": 4,
    },
    "IDM": {
        "num_feat": 8,
        "mult": [1, 2, 2],
        "num_blocks": 1,
        "attention_levels": [2],
        "norm_groups": 4,
        "encoder_feat": 8,
        "encoder_blocks": 1,
        "hidden": 16,
        "dropout": 0.0,
        "timesteps": 40,
        "steps": 4,
    },
    "ResShift": {
        "model_channels": 16,
        "channel_mult": [1, 2],
        "num_res_blocks": 1,
        "swin_embed": 16,
        "swin_heads": 2,
        "window_size": 4,
        "norm_groups": 4,
        "steps": 4,
        "min_noise": 0.2,
    },
}
KINDS = {"LDM": LDM, "IDM": IDM, "ResShift": ResShift}


def build(method: str, **options: Any) -> Diffusion:
    """A seeded network in evaluation mode; what starts at zero is moved away from it."""
    torch.manual_seed(0)
    stage = {} if method == "IDM" else {"first_stage": FIRST_STAGE}
    net = KINDS[method](**{**SMALL[method], **stage, **options})
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return net.eval()
