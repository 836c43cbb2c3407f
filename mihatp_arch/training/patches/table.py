"""The one table of replaced functions: BasicSR's function, ours, why, and when the row can go.

docs/basicsr_patches.md is made from it: `python -m mihatp_arch.training.patches docs/basicsr_patches.md`.
"""

from types import ModuleType

import basicsr.data as basicsr_data
import basicsr.train as basicsr_train
import basicsr.utils.options as basicsr_options
from basicsr.data import paired_image_dataset
from basicsr.metrics import psnr_ssim
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import misc
from basicsr.utils.file_client import FileClient

from mihatp_arch.metrics.ssim import ssim_of_channel
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
from mihatp_arch.training.data import loaders, meta_info, sound_images
from mihatp_arch.training.patches.patch import BasicSRFunction, Patch

# Functions that ours call: with other parameters they would not do what ours expect.
CALLED = (
    BasicSRFunction(owner=basicsr_data, name="build_dataset", parameters=("dataset_opt",)),
    BasicSRFunction(
        owner=basicsr_data,
        name="build_dataloader",
        parameters=("dataset", "dataset_opt", "num_gpu", "dist", "sampler", "seed"),
    ),
    BasicSRFunction(owner=misc, name="check_resume", parameters=("opt", "resume_iter")),
)


def _validation(name: str) -> Patch:
    return Patch(
        owner=SRModel,
        name=name,
        parameters=("self", "dataloader", "current_iter", "tb_logger", "save_img"),
        ours=validation.validate,
        why="It averages infinite values, needs HR images, and lets all processes but one wait.",
        until="leaves infinite values out, tests sets without HR, and shares the images among the processes",
    )


def _archive(owner: ModuleType) -> Patch:
    return Patch(
        owner=owner,
        name="mkdir_and_rename",
        parameters=("path",),
        ours=saving.archive,
        why="It dies where two runs of one name start in the same second.",
        until="gives each archived folder its own name",
    )


PATCHES = (
    Patch(
        owner=basicsr_train,
        name="load_resume_state",
        parameters=("opt",),
        ours=resuming.load_resume_state,
        why="It asks for a GPU on machines that have none. `--auto_resume` looks below the current folder instead of "
        "the experiment's own, and takes the newest state also where that is damaged.",
        until="loads states on the CPU, looks into the folder of the experiment, and passes over damaged states",
    ),
    Patch(
        owner=basicsr_train,
        name="create_train_val_dataloader",
        parameters=("opt", "logger"),
        ours=loaders.create_train_val_dataloader,
        why="Crops and flips are the same in every epoch, and others with another number of workers. A training that "
        "resumes begins its epoch anew. The loop ends before or after `total_iter`.",
        until="seeds each sample by epoch and position, resumes inside an epoch, and ends at `total_iter`",
    ),
    Patch(
        owner=paired_image_dataset,
        name="paired_paths_from_meta_info_file",
        parameters=("folders", "keys", "meta_info_file", "filename_tmpl"),
        ours=meta_info.paired_paths,
        why="It takes a blank line for an image, and a space before a name for its end.",
        until="leaves out blank lines and spaces",
    ),
    Patch(
        owner=FileClient,
        name="get",
        parameters=("self", "filepath", "client_key"),
        ours=sound_images.read_file,
        why="It gives damaged, missing and unreadable images to a decoder, whose error does not name them.",
        until="names the image that cannot be read",
    ),
    Patch(
        owner=basicsr_train,
        name="CPUPrefetcher",
        parameters=("loader",),
        ours=loaders.Prefetcher,
        why="It starts all workers twice.",
        until="starts them at the first epoch only",
    ),
    Patch(
        owner=basicsr_train,
        name="CUDAPrefetcher",
        parameters=("loader", "opt"),
        ours=loaders.PrefetcherToGPU,
        why="It starts all workers twice.",
        until="starts them at the first epoch only",
    ),
    Patch(
        owner=basicsr_train,
        name="MessageLogger",
        parameters=("opt", "start_iter", "tb_logger"),
        ours=training_logger.TrainingLogger,
        why="Its last line says that -1 day, 23:59:59 are left.",
        until="counts the time that is left to `total_iter`",
    ),
    _archive(basicsr_train),
    _archive(misc),
    Patch(
        owner=psnr_ssim,
        name="_ssim",
        parameters=("img", "img2"),
        ours=ssim_of_channel,
        why="It applies a two-dimensional filter where two one-dimensional filters give the same numbers faster.",
        until="filters by rows and columns",
    ),
    Patch(
        owner=basicsr_options,
        name="init_dist",
        parameters=("launcher", "backend", "kwargs"),
        ours=distributed.init_dist,
        why="It asks for the GPU of processes that have none, and knows the backend nccl alone.",
        until="starts groups of processes on CPUs with gloo",
    ),
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
        ours=resuming.update_best_metric_result,
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
