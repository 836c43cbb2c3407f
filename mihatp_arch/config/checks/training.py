"""What the training of a model needs."""

from collections.abc import Iterator

from basicsr.models.sr_model import SRModel

from mihatp_arch.config.read import Options


def check_training(options: Options, model: type) -> Iterator[str]:
    """Lines about what `model` needs in `train` and does not find there."""
    train = options.section("train")
    if issubclass(model, SRModel):
        for key in ("optim_g", "scheduler"):
            if train.get(key) is None:
                yield options.problem(("train",), f"'{key}' is missing")
        if model.init_training_settings is SRModel.init_training_settings and not (
            train.get("pixel_opt") or train.get("perceptual_opt")
        ):
            yield options.problem(("train",), "there is no loss: give pixel_opt or perceptual_opt")
    if train.get("total_iter") is None:
        yield options.problem(("train",), "'total_iter' is missing: how many iterations to train")
