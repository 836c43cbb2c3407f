"""The options of a small LDM and of its first stage."""

STAGE = {"channels": [4, 4, 8], "blocks": 1, "codes": 8, "norm_groups": 2}
LDM = {
    "type": "LDM",
    "upscale": 4,
    "first_stage": STAGE,
    "channels": [8, 8],
    "blocks": 1,
    "attention_levels": [1],
    "head_dim": 4,
    "norm_groups": 4,
    "timesteps": 20,
    "steps": 5,
}
