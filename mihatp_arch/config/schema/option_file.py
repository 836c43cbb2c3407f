"""The whole option file, and which keys belong to which model.

One class a section, one field an option: its type and range, its description and its default. The checks of
`basicsr`, docs/options.md and options/schema.json are made from these classes. A model that has more options than
BasicSR's SRModel gets subclasses of the sections that it adds to, and a line in `MODELS`.

The arguments of networks, losses, metrics, optimizers and schedules are not listed: the signatures of their classes
and functions say them.
"""

# pyright: reportIncompatibleVariableOverride=false
# A subclass narrows a section. That is safe, because no object of these classes is ever made.

from typing import Annotated, Any, Literal

from msgspec import Meta

from mihatp_arch.config.schema.data import Dataset
from mihatp_arch.config.schema.run import (
    DiffusionPath,
    DiffusionVal,
    DistParams,
    GANPath,
    HoVerNetVal,
    Logger,
    MiHATPPath,
    Path,
    Val,
)
from mihatp_arch.config.schema.train import (
    AdversarialFirstStageTrain,
    FirstStageTrain,
    GANTrain,
    HoVerNetTrain,
    Loss,
    MiHATPTrain,
    Optimizer,
    Train,
)
from mihatp_arch.config.schema.types import NONE, Constructor, Count, Section, about

_LARGEST_SEED = 2**32 - 2**16 - 1  # numpy's limit, with room for ranks and workers


class Network(Constructor):
    """A registered network and its arguments."""

    type: Annotated[str, about("A registered network.")] = NONE


class OptionFile(Section):
    """The keys of a file for every model."""

    name: Annotated[str, about("The name of the experiment and of its folders in experiments/ and results/.")] = NONE
    model_type: Annotated[str, about("A registered model.")] = NONE
    scale: Annotated[Literal[1, 2, 3, 4, 8], about("HR width / LR width.")] = NONE
    num_gpu: Annotated[Literal["auto"] | Count, about("GPUs of this process; 0: the CPU; auto: all.")] = "auto"
    manual_seed: Annotated[int, Meta(ge=0, le=_LARGEST_SEED), about("Seed of every random draw.")] = 0
    find_unused_parameters: Annotated[bool, about("As torch's DistributedDataParallel has it.")] = False
    datasets: Annotated[
        dict[str, Dataset | None], about("train, val, val_1 …, test_1 …: the data sets. Null leaves a set out.")
    ] = NONE
    network_g: Annotated[Network, about("The network that is trained, validated and saved as net_g.")] = NONE
    path: Annotated[Path | None, about("Files that a run starts from.")] = NONE
    train: Annotated[Train | None, about("The training.")] = NONE
    val: Annotated[Val | None, about("Validation and tests.")] = NONE
    logger: Annotated[Logger | None, about("What is written, and how often.")] = NONE
    dist_params: Annotated[DistParams | None, about("Trainings of several processes.")] = NONE


class MiHATPFile(OptionFile):
    """MiHATPModel."""

    network_c: Annotated[Network | None, about("The contrastive branch.", default="as network_g")] = None
    path: Annotated[MiHATPPath | None, about("Files that a run starts from.")] = NONE
    train: Annotated[MiHATPTrain | None, about("The training.")] = NONE


class DiffusionFile(OptionFile):
    """DiffusionModel: LDM, IDM and ResShift."""

    path: Annotated[DiffusionPath | None, about("Files that a run starts from.")] = NONE
    val: Annotated[DiffusionVal | None, about("Validation and tests.")] = NONE


class FirstStageFile(OptionFile):
    """FirstStageModel: the autoencoder of LDM and ResShift."""

    train: Annotated[FirstStageTrain | None, about("The training.")] = NONE


class AdversarialFirstStageFile(OptionFile):
    """AdversarialFirstStageModel: a first stage with a discriminator."""

    network_d: Annotated[Network, about("The discriminator.")] = NONE
    path: Annotated[GANPath | None, about("Files that a run starts from.")] = NONE
    train: Annotated[AdversarialFirstStageTrain | None, about("The training.")] = NONE


class HoVerNetFile(OptionFile):
    """HoVerNetModel: nuclei, from pairs of tissue and coded label maps."""

    train: Annotated[HoVerNetTrain | None, about("The training.")] = NONE
    val: Annotated[HoVerNetVal | None, about("Validation and tests.")] = NONE


class GANFile(OptionFile):
    """BasicSR's SRGANModel and ESRGANModel."""

    network_d: Annotated[Network | None, about("The discriminator.")] = NONE
    path: Annotated[GANPath | None, about("Files that a run starts from.")] = NONE
    train: Annotated[GANTrain | None, about("The training.")] = NONE


# The models whose keys are all listed. Any other model may have more: an unknown key is then only a warning.
MODELS: dict[str, type[OptionFile]] = {
    "SRModel": OptionFile,
    "HATModel": OptionFile,
    "SwinIRModel": OptionFile,
    "MiHATPModel": MiHATPFile,
    "DiffusionModel": DiffusionFile,
    "FirstStageModel": FirstStageFile,
    "AdversarialFirstStageModel": AdversarialFirstStageFile,
    "HoVerNetModel": HoVerNetFile,
    "SRGANModel": GANFile,
    "ESRGANModel": GANFile,
}

# The names that BasicSR's convention gives to the keys of other models, by section.
CONVENTIONS: dict[str, dict[str, Any]] = {
    "": {r"network_\w+": Network},
    "train": {r"optim_\w+": Optimizer, r"\w+_opt": Loss},
    "path": {r"pretrain_network_\w+": str | None, r"param_key_\w+": str | None, r"strict_load_\w+": bool},
}

# BasicSR writes these into the options itself, over the value in the file.
SET_BY_BASICSR: dict[str, set[str]] = {
    "": {"is_train", "rank", "world_size", "dist", "root_path", "auto_resume"},
    "path": {"experiments_root", "models", "log", "visualization", "training_states", "results_root"},
    "datasets": {"scale", "phase"},
}
