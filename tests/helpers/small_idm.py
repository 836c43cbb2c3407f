"""A small IDM for evaluation."""

from mihatp_arch.archs.idm_arch import IDM

SMALL = {
    "num_feat": 8,
    "mult": (1, 2, 2),
    "num_blocks": 1,
    "attention_levels": (2,),
    "norm_groups": 4,
    "encoder_feat": 8,
    "encoder_blocks": 1,
    "hidden": 16,
    "timesteps": 50,
    "steps": 5,
}


def small(**options) -> IDM:
    return IDM(**{**SMALL, **options}).eval()
