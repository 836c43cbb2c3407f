"""The values of a sweep as queues in a database (optuna), from which several processes and machines take them."""

import time
import warnings
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.plan import Plan

try:
    import optuna
    from optuna.exceptions import ExperimentalWarning, TrialPruned
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
    from optuna.trial import TrialState
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as missing:
    raise UserError("--sweep needs optuna: pip install 'mihatp[sweep]'") from missing

_LIVE = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)
_HEARTBEAT = 10  # seconds; a training that is silent for three heartbeats is done again by another process


class Quality(NamedTuple):
    """What a training of the sweep gave.

    Attributes:
        psnr, ssim: mean over the test sets.
        val_psnr: PSNR on the validation set, which chooses the best value; None without such a set.
    """

    psnr: float
    ssim: float
    val_psnr: float | None

    @property
    def chosen_by(self) -> float:
        """The PSNR that chooses: of the validation set, else of the test sets."""
        return self.psnr if self.val_psnr is None else self.val_psnr


Train = Callable[[float], Quality]  # raises UserError where the training fails


class SweepQueue:
    """The values of one hyper-parameter. Each value stands in the queue once, and one process trains it.

    Args:
        plan: of the benchmark; its name and the parameter name the queue in the database.
        options: of the method that is varied. A queue made with other options is refused.
        parameter: name of the hyper-parameter.
        values: to be trained.
        url: of the database.

    Raises:
        UserError: the database cannot be opened, or holds this queue with other options.
    """

    def __init__(self, plan: Plan, options: Options, parameter: str, values: Sequence[float], url: str) -> None:
        self.parameter, self.values = parameter, values
        self._study = _open_study(f"{plan.name} {parameter}", url)
        fingerprint = _fingerprint(plan, options)
        if self._study.user_attrs.setdefault("options", fingerprint) != fingerprint:
            raise UserError(
                f"'{url}' has a sweep '{plan.name} {parameter}' with other options: give another -o or --storage"
            )
        self._study.set_user_attr("options", fingerprint)
        self._enqueue()

    def run(self, train: Train) -> list[str]:
        """Train every value that waits, then wait until other processes have finished the others.

        A value that another process gave up is trained again, by this process or another one.

        Returns:
            The reasons of the trainings of this process that failed.
        """
        failures: list[str] = []

        def objective(trial: optuna.Trial) -> float:
            value = trial.user_attrs.get("value")
            # Without a value: another process took the last one that waited, and optuna made up a new trial.
            if value is None or self._is_taken(value, trial.number):
                raise TrialPruned
            trial.suggest_float(self.parameter, value, value)
            try:
                quality = train(value)
            except UserError as error:
                failures.append(str(error))
                trial.set_user_attr("failure", str(error))
                raise
            trial.set_user_attr("quality", quality)
            return quality.chosen_by

        idle = 0  # seconds in which values are left, but none waits or is trained: its process gave it up
        while self._is_left():
            if self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                self._study.optimize(objective, n_trials=1, catch=(UserError,))
                continue
            time.sleep(1)
            fail_stale_trials(self._study)
            idle = 0 if self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) else idle + 1
            if idle > _HEARTBEAT:
                self._enqueue()
        return failures

    def results(self) -> dict[float, Quality]:
        """Value -> quality of every value that is trained, in ascending order."""
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        by_value = {trial.params[self.parameter]: trial for trial in trials}
        return {
            value: Quality(*by_value[value].user_attrs["quality"]) for value in sorted(self.values) if value in by_value
        }

    def _enqueue(self) -> None:
        trials = self._study.get_trials(deepcopy=False, states=_LIVE)
        queued = {trial.user_attrs.get("value") for trial in trials}
        for value in self.values:
            if value not in queued:
                self._study.enqueue_trial({self.parameter: value}, user_attrs={"value": value})

    def _is_taken(self, value: float, number: int) -> bool:
        """Whether another trial has trained the value, or an earlier one trains it.

        A value can stand in the queue twice: one process enqueues it while optuna repeats it for another one.
        """
        others = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.COMPLETE))
        return any(
            other.user_attrs.get("value") == value
            and (other.state == TrialState.COMPLETE or other.number < number)
            and other.number != number
            for other in others
        )

    def _is_left(self) -> bool:
        """Whether a value is neither trained nor failed; a value that a process gave up is neither."""
        trials = [trial for trial in self._study.get_trials(deepcopy=False) if "value" in trial.user_attrs]
        settled = {
            trial.user_attrs["value"]
            for trial in trials
            if trial.state == TrialState.COMPLETE or "failure" in trial.user_attrs
        }
        live = any(trial.state in (TrialState.WAITING, TrialState.RUNNING) for trial in trials)
        return live or not settled.issuperset(self.values)


def _open_study(name: str, url: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are experimental
            storage = RDBStorage(
                url,
                heartbeat_interval=_HEARTBEAT,
                grace_period=3 * _HEARTBEAT,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise UserError(f"--storage {url}: {str(error).splitlines()[0]}") from error


def _fingerprint(plan: Plan, options: Options) -> str:
    """A hash of the training and of the set that chooses, the same wherever the data lie."""
    values = {key: value for key, value in options.values.items() if key != "datasets"}
    own = [method.total_iter for method in plan.trained if method.name == plan.ours and method.total_iter]
    budget = [plan.scale, plan.total_iter, plan.seconds, plan.seeds, *own]
    chosen_on = list(plan.validation_set())
    return sha256(msgspec.json.encode([values, budget, chosen_on], order="sorted")).hexdigest()
