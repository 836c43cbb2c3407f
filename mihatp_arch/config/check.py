"""All checks of one run in their order: options, data, weights, and a first build of every network and loss."""

from dataclasses import dataclass, field
from pathlib import Path

from mihatp_arch.archs.fast.fast_setting import fast_setting
from mihatp_arch.checkpoints import TrainingState, find_training_state
from mihatp_arch.config.checks.data import check_data
from mihatp_arch.config.checks.lr_kernels import check_kernels, fill_kernels
from mihatp_arch.config.checks.options import check_options, unknown_key_warnings
from mihatp_arch.config.checks.training import training_warnings
from mihatp_arch.config.checks.try_build import check_build
from mihatp_arch.config.defaults import choose_sets, experiment_name, fill_defaults, use_trained_network
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError


@dataclass
class Findings:
    """The result of the checks, one line each: `mistakes` stop the run, `warnings` do not."""

    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_run(
    options: Options,
    command: str,
    *,
    launcher: str = "none",
    experiments: Path | None = None,
    debug: bool = False,
    auto_resume: bool = False,
    full: bool = False,
) -> Findings:
    """Complete the options of a run and check them. Nothing is written.

    The first stage that finds a mistake is the last: data are not opened for options that are wrong.

    Args:
        options: as read from the files; defaults and the values for this machine are filled in.
        command: `train` or `test`.
        launcher: as BasicSR's option: none, pytorch or slurm.
        experiments: the folder of all experiments. Without it no training state and no trained network is looked for.
        debug: BasicSR puts `debug_` before the name of the experiment.
        auto_resume: resume from the newest training state of the experiment.
        full: decode all images of all data sets.

    Raises:
        UserError: there is nothing to test, or nothing to resume from; or `MIHATP_FAST` has an unknown value.
    """
    fast_setting()
    options.open("path", "logger")
    training_file = choose_sets(options, command)
    findings = Findings(warnings=fill_defaults(options, command))
    findings.mistakes = check_options(options, command)
    if findings.mistakes:
        return findings
    findings.warnings += unknown_key_warnings(options)
    if command == "train":
        findings.warnings += training_warnings(options)
    folder = None if experiments is None else experiments / experiment_name(options, debug=debug)
    if command == "test" and training_file and folder is not None:
        use_trained_network(options, folder)
    findings.mistakes = check_data(options, launcher=launcher, full=full)
    if findings.mistakes:
        return findings
    fill_kernels(options)
    findings.mistakes, warnings = check_kernels(options, command)
    findings.warnings += warnings
    if findings.mistakes:
        return findings
    resumed = None
    if command == "train" and folder is not None:
        resumed = _training_state(options, folder, auto_resume=auto_resume)
    findings.mistakes = check_build(options, command, resumed)
    loads_its_weights = options.get("network_g", "type") == "Spandrel"
    if command == "test" and options.get("path", "pretrain_network_g") is None and not loads_its_weights:
        findings.warnings.append("path.pretrain_network_g is not set: an untrained network is tested")
    return findings


def training_mistakes(options: Options) -> list[str]:
    """The mistakes that would stop a new training with these options, one line each."""
    return check_run(options, "train").mistakes


def _training_state(options: Options, folder: Path, *, auto_resume: bool) -> TrainingState | None:
    """The training state from which this training resumes; None for a new training."""
    state, _ = find_training_state(options.values, folder, newest=auto_resume)
    if auto_resume and state is None and _was_trained(folder / "models"):
        raise UserError(
            f"--auto_resume: '{folder}' has networks but no training state to go on from; move it away, give "
            "another name, or start anew without --auto_resume (basicsr then renames the folder)"
        )
    return state


def _was_trained(models: Path) -> bool:
    """Whether a folder of networks has more than a training leaves that is killed before its first state.

    Such a training leaves the networks of one iteration, and the best network so far.
    """
    iterations = {path.stem.rpartition("_")[2] for path in models.glob("net_*.pth")} - {"best"}
    return "latest" in iterations or len(iterations) > 1
