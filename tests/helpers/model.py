"""A small SRModel as the training loop builds it."""

import torch
from basicsr.models.sr_model import SRModel


def build(folder, **train):
    torch.manual_seed(0)
    network = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "upscale": 4}
    return SRModel(
        {
            "num_gpu": 0,
            "dist": False,
            "is_train": True,
            "rank": 0,
            "network_g": network,
            "path": {"models": str(folder), "training_states": str(folder)},
            "train": {
                "ema_decay": 0.5,
                "optim_g": {"type": "SGD", "lr": 0.1},
                "scheduler": {"type": "MultiStepLR", "milestones": [10], "gamma": 0.5},
                "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
            }
            | train,
        }
    )
