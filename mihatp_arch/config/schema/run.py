"""`val`, `path`, `logger` and `dist_params`: what a run validates, starts from, writes and is joined by."""

from typing import Annotated, Literal

from mihatp_arch.config.schema.types import NONE, Constructor, Count, Positive, Section, about


class Metric(Constructor):
    """`val.metrics.<name>`: a registered metric and its arguments."""

    type: Annotated[str, about("A registered metric.")] = NONE
    crop_border: Annotated[Count, about("Pixels that are left out on each side.")] = NONE
    test_y_channel: Annotated[bool, about("Measure luminance alone.")] = NONE
    better: Annotated[Literal["higher", "lower"], about("Which value is the best one.", default="higher")] = NONE


class Val(Section):
    """Validation during a training, and `basicsr test`."""

    val_freq: Annotated[Positive, about("Validate every so many iterations. Training only.")] = NONE
    save_img: Annotated[bool, about("Write the super-resolved images.")] = False
    suffix: Annotated[str | None, about("Appended to the names of written images.", default="the name of the run")] = (
        None
    )
    metrics: Annotated[dict[str, Metric] | None, about("Name to metric, as the log and the tables call it.")] = NONE
    keep_best: Annotated[
        str | None, about("A name in metrics: the best network by it is saved as net_g_best.pth, and tested.")
    ] = None
    pbar: Annotated[bool, about("Show a progress bar.")] = False
    consistency: Annotated[
        Literal["off", "area", "both"],
        about(
            "area: project every output onto the images whose k×k mean is LR, before it is measured and written. both: "
            "a test also measures and writes the projected output, into results/<name>_consistent. Refused where LR is "
            "not the k×k mean of HR."
        ),
    ] = "off"


class DiffusionVal(Val):
    """DiffusionModel: sampling."""

    precision: Annotated[Literal["fp32", "bf16"], about("bf16: sample under autocast.")] = "fp32"


class HoVerNetVal(Val):
    """HoVerNetModel: windows."""

    window: Annotated[
        Positive | None, about("Side of the windows of a validation.", default="270 (original) or 256 (fast)")
    ] = None


class Path(Section):
    """Files that a run starts from."""

    pretrain_network_g: Annotated[str | None, about("Weights that network_g starts from, or is tested with.")] = None
    param_key_g: Annotated[str | None, about("Their key in the file: params, or params_ema for the average.")] = (
        "params"
    )
    strict_load_g: Annotated[bool, about("Refuse weights whose names or shapes differ from the network's.")] = True
    resume_state: Annotated[str | None, about("A training state (.state) from which the training resumes.")] = None
    ignore_resume_networks: Annotated[
        list[str] | None, about("Networks (network_g …) whose weights a resumed training does not load.")
    ] = None


class MiHATPPath(Path):
    """MiHATPModel: the contrastive branch."""

    pretrain_network_c: Annotated[str | None, about("Weights that network_c starts from.")] = None
    param_key_c: Annotated[str | None, about("Their key in the file.")] = "params"
    strict_load_c: Annotated[bool, about("Refuse weights whose names or shapes differ from the network's.")] = True


class DiffusionPath(Path):
    """DiffusionModel: the first stage of LDM and ResShift."""

    pretrain_network_first_stage: Annotated[
        str | None, about("Weights of the trained first stage, or a folder of diffusers. Training only.")
    ] = None


class GANPath(Path):
    """Models with a discriminator."""

    pretrain_network_d: Annotated[str | None, about("Weights that network_d starts from.")] = None
    param_key_d: Annotated[str | None, about("Their key in the file.")] = "params"
    strict_load_d: Annotated[bool, about("Refuse weights whose names or shapes differ from the network's.")] = True


class Wandb(Section):
    """Weights & Biases."""

    project: Annotated[str | None, about("The project; null: not used.")] = None
    resume_id: Annotated[str | None, about("The run that goes on.")] = None


class Logger(Section):
    """What a training writes, and how often."""

    print_freq: Annotated[Positive, about("A line in the log every so many iterations.")] = 100
    save_checkpoint_freq: Annotated[Positive, about("Weights and a training state every so many iterations.")] = 5000
    keep_checkpoints: Annotated[
        Positive, about("Newest checkpoints that stay; older ones are deleted.", default="all stay")
    ] = NONE
    use_tb_logger: Annotated[bool, about("Write for TensorBoard, in tb_logger/.")] = False
    wandb: Annotated[Wandb | None, about("Weights & Biases; needs use_tb_logger.")] = None


class DistParams(Constructor):
    """`dist_params`: arguments of torch.distributed.init_process_group, for trainings of several processes."""

    backend: Annotated[str, about("nccl for GPUs, gloo for CPUs.")] = NONE
    port: Annotated[int, about("Port of the first process, with Slurm.")] = NONE
