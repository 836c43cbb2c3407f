"""A small MiHATPModel as the training loop builds it, and a step of it."""

import torch
from helpers.options import frame

from mihatp_arch.models import MiHATPModel

NETWORK = {
    "type": "MiHATP",
    "upscale": 4,
    "img_size": 8,
    "window_size": 4,
    "embed_dim": 12,
    "depths": [2],
    "num_heads": [2],
    "squeeze_factor": 1,
    "upsampler": "pixelshuffledirect",
    "sample_grid": 4,
    "drop_path_rate": 0.0,
}


def options(folder, **train):
    defaults = {
        "optim_g": {"type": "Adam", "lr": 1e-3, "betas": [0.9, 0.99]},
        "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
        "contrastive_opt": {
            "type": "ContrastiveLoss",
            "loss_weight": 0.01,
            "tau": 0.05,
            "features": {"weights": "random", "layers": ["relu1_1", "relu2_1"]},
        },
        "reversible_opt": {"k_p": 2},
        "irreversible_opt": {"k_n": 3},
    }
    return {**frame(folder, dict(NETWORK), **defaults | train), "model_type": "MiHATPModel"}


def build(folder, **train):
    torch.manual_seed(3)
    return MiHATPModel(options(folder, **train))


def batch(seed=0, size=8):
    torch.manual_seed(seed)
    return {"lq": torch.rand(2, 3, size, size), "gt": torch.rand(2, 3, 4 * size, 4 * size)}


def step(model, iteration=1):
    model.feed_data(batch(iteration))
    model.update_learning_rate(iteration)
    model.optimize_parameters(iteration)
    return model.log_dict
