"""The part of the table about BasicSR's models."""

from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel

from mihatp_arch.training import (
    distributed,
    ema,
    optimizers,
    resuming,
    saving,
    step,
    stopping,
    training_logger,
    validation,
)
from mihatp_arch.training.patches.patch import Patch
from mihatp_arch.training.resumed import best_results


def _validation(name: str) -> Patch:
    return Patch(
        owner=SRModel,
        name=name,
        parameters=("self", "dataloader", "current_iter", "tb_logger", "save_img"),
        ours=validation.validate,
        why="It averages infinite values, needs HR images, and lets all processes but one wait.",
        until="leaves infinite values out, tests sets without HR, and shares the images among the processes",
    )


MODEL_PATCHES = (
    Patch(
        owner=BaseModel,
        name="model_to_device",
        parameters=("self", "net"),
        ours=distributed.model_to_device,
        why="It asks for the GPU of processes that have none. It lacks `train.compile` and `train.cuda_graphs`.",
        until="wraps networks on CPUs, and has both options",
    ),
    Patch(
        owner=BaseModel,
        name="print_network",
        parameters=("self", "net"),
        ours=training_logger.print_network,
        why="It writes hundreds of lines with all layers of a network into each log.",
        until="writes the layers in the debug mode alone",
    ),
    Patch(
        owner=SRModel,
        name="_log_validation_metric_values",
        parameters=("self", "current_iter", "dataset_name", "tb_logger"),
        ours=training_logger.log_validation,
        why="The log of a test says that the best result is that of an iteration with the name of the run.",
        until="logs best results of trainings alone",
    ),
    Patch(
        owner=BaseModel,
        name="load_network",
        parameters=("self", "net", "load_path", "strict", "param_key"),
        ours=saving.load_network,
        why="It knows weights below one key alone, and ends in a KeyError over all other files.",
        until="loads safetensors and bare state dicts too",
    ),
    Patch(
        owner=BaseModel,
        name="get_optimizer",
        parameters=("self", "optim_type", "params", "lr", "kwargs"),
        ours=optimizers.get_optimizer,
        why="It knows Adam alone.",
        until="takes every optimizer of torch by its name",
    ),
    Patch(
        owner=BaseModel,
        name="save_network",
        parameters=("self", "net", "net_label", "current_iter", "param_key"),
        ours=saving.save_network,
        why="It writes over the last file, and ignores it when that fails.",
        until="writes files whole, and ends the training when it cannot",
    ),
    Patch(
        owner=BaseModel,
        name="save_training_state",
        parameters=("self", "epoch", "current_iter"),
        ours=saving.save_training_state,
        why="It writes over the last file, ignores it when that fails, and saves no random states.",
        until="writes files whole, with the random states and the position in the epoch",
    ),
    Patch(
        owner=BaseModel,
        name="resume_training",
        parameters=("self", "resume_state"),
        ours=resuming.resume_training,
        why="It restores no random states, and ends in an assertion where the state is that of another model.",
        until="restores random states, and names the state that does not fit",
    ),
    Patch(
        owner=BaseModel,
        name="model_ema",
        parameters=("self", "decay"),
        ours=ema.model_ema,
        why="Its decay is constant, so that the untrained network stays in the average of a short training. It leaves "
        "the buffers (running statistics) as they were at the start.",
        until="has a decay that warms up, and copies buffers",
    ),
    Patch(
        owner=BaseModel,
        name="_update_best_metric_result",
        parameters=("self", "dataset_name", "metric", "val", "current_iter"),
        ours=best_results.update_best_metric_result,
        why="The best results live in memory alone, so a training that resumes forgets them.",
        until="saves them",
    ),
    Patch(
        owner=BaseModel,
        name="update_learning_rate",
        parameters=("self", "current_iter", "warmup_iter"),
        ours=stopping.update_learning_rate,
        why="The loop has no place where a signal stops it between two iterations with everything saved.",
        until="saves and ends after SIGTERM and SIGINT",
    ),
    Patch(
        owner=SRModel,
        name="feed_data",
        parameters=("self", "data"),
        ours=step.feed_data,
        why="It forgets the names of the images, which errors must name.",
        until="keeps the names of the images of a batch",
    ),
    Patch(
        owner=SRModel,
        name="optimize_parameters",
        parameters=("self", "current_iter"),
        ours=step.optimize_parameters,
        why="It has neither `train.precision` nor `train.accumulate` nor `train.grad_clip`, and steps on a loss that "
        "is not finite.",
        until="has these options, and refuses such a loss",
    ),
    _validation("nondist_validation"),
    _validation("dist_validation"),
    Patch(
        owner=SRModel,
        name="test",
        parameters=("self",),
        ours=validation.test,
        why="It leaves the network in training mode whatever its mode was, and compiles it anew for every size of "
        "image.",
        until="restores the mode, and tests compiled networks without compiling",
    ),
)
