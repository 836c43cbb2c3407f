"""The one table of replaced functions: BasicSR's function, ours, why, and when the row can go.

docs/basicsr_patches.md is made from it: `python -m mihatp_arch.training.patches docs/basicsr_patches.md`.
"""

from types import ModuleType

import basicsr.data as basicsr_data
import basicsr.train as basicsr_train
import basicsr.utils.options as basicsr_options
from basicsr.data import paired_image_dataset, prefetch_dataloader
from basicsr.metrics import psnr_ssim
from basicsr.utils import misc
from basicsr.utils.file_client import FileClient

from mihatp_arch.metrics.ssim import ssim_of_channel
from mihatp_arch.training import distributed, resuming, run_record, saving, training_logger
from mihatp_arch.training.data import loaders, meta_info, prefetching, sound_images
from mihatp_arch.training.patches.model_table import MODEL_PATCHES
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
        name="init_tb_loggers",
        parameters=("opt",),
        ours=training_logger.init_tb_loggers,
        why="After a resume, TensorBoard shows the points after the state twice. Points that a killed process has not "
        "flushed are missing.",
        until="gives SummaryWriter a purge_step, and flushes it before a state is saved",
    ),
    Patch(
        owner=basicsr_train,
        name="copy_opt_file",
        parameters=("opt_file", "experiments_root"),
        ours=run_record.copy_opt_file,
        why="A kill leaves a half of the file. The command in it is not the one that was typed.",
        until="writes the file whole",
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
        owner=prefetch_dataloader,
        name="PrefetchGenerator",
        parameters=("generator", "num_prefetch_queue"),
        ours=prefetching.PrefetchGenerator,
        why="After an error in its thread, the training waits for ever.",
        until="raises the error of the thread in the training",
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
    *MODEL_PATCHES,
)
