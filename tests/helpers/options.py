"""What the options of every small model of these tests begin with."""


def frame(folder, network, **train):
    """One process on the CPU at x4, which saves into `folder`; `train` adds to an EMA and a schedule."""
    return {
        "name": "test",
        "scale": 4,
        "num_gpu": 0,
        "dist": False,
        "rank": 0,
        "is_train": True,
        "path": {"models": str(folder), "training_states": str(folder), "pretrain_network_g": None},
        "network_g": network,
        "train": {
            "ema_decay": 0.9,
            "scheduler": {"type": "MultiStepLR", "milestones": [10], "gamma": 0.1},
            **train,
        },
    }
