"""The loaders of a training: its training set in seeded order, its validation sets, and the prefetchers."""

from collections.abc import Iterator, Mapping
from logging import Logger
from pathlib import Path
from typing import Any

import torch
from basicsr.data import build_dataloader, build_dataset
from basicsr.data.prefetch_dataloader import CUDAPrefetcher
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from torch.utils.data import DataLoader

from mihatp_arch.checkpoints import load_tensors
from mihatp_arch.errors import UserError
from mihatp_arch.training.data.order import SeededDataset, SeededSampler, TrainingStart, training_start
from mihatp_arch.training.data.sound_images import sound_loader, unreadable
from mihatp_arch.training.random_state import choose_deterministic_operations
from mihatp_arch.training.resumed.changed_options import Changes, changed_options, trained_options
from mihatp_arch.training.run_record import write_record
from mihatp_arch.training.stopping import note_mistake, signals_blocked
from mihatp_arch.training.training_logger import no_false_warning

Loaders = tuple[DataLoader[Any], SeededSampler, list[DataLoader[Any]], int, int]


def create_train_val_dataloader(opt: dict[str, Any], logger: Logger) -> Loaders:
    """Stands in for `basicsr.train.create_train_val_dataloader`.

    BasicSR's loop calls it once, when the folders exist and before the model is built. So `run.json` is written here,
    and `train.deterministic` takes effect here.

    Returns:
        The training loader, its sampler, the validation loaders, the last epoch, and the last iteration.

    Raises:
        UserError: the training set does not fill one batch.
    """
    if issubclass(MODEL_REGISTRY.get(opt["model_type"]), SRModel):
        logger.addFilter(no_false_warning)
    opt["trained_with"] = trained_options(opt)
    sampler, loader = _training_loader(opt)
    sound_loader(loader)
    state, total = _resumed_state(opt), int(opt["train"]["total_iter"])
    start = TrainingStart.of(state, len(loader))
    training_start.set(start)
    sampler.train_from(start, total=total, batch_size=loader.batch_size or 1)
    val_loaders = [
        validation_loader(opt, options) for phase, options in opt["datasets"].items() if phase.startswith("val")
    ]
    if opt["train"].get("deterministic"):
        choose_deterministic_operations()
    changes = _log_resumption(opt, state, start, logger)
    if opt["rank"] == 0:
        write_record(opt, iteration=start.iteration, changes=changes)
    _log_sizes(logger, opt, sampler, loader, val_loaders)
    return loader, sampler, val_loaders, start.last_epoch(total), total


def validation_loader(opt: Mapping[str, Any], dataset_opt: dict[str, Any]) -> DataLoader[Any]:
    """The loader of one validation set, in BasicSR's form: batches of one image, read in this process."""
    return _loader(opt, build_dataset(dataset_opt), dataset_opt)


def _training_loader(opt: Mapping[str, Any]) -> tuple[SeededSampler, DataLoader[Any]]:
    dataset_opt = opt["datasets"]["train"]
    dataset = SeededDataset(build_dataset(dataset_opt), seed=opt["manual_seed"])
    ratio = dataset_opt.get("dataset_enlarge_ratio", 1)
    sampler = SeededSampler(dataset, opt["world_size"], opt["rank"], ratio)
    loader = _loader(opt, dataset, dataset_opt, sampler)
    if not len(loader):
        raise UserError(
            f"datasets.train: {len(sampler)} samples do not fill a batch of {loader.batch_size}: lower "
            "batch_size_per_gpu, or raise dataset_enlarge_ratio"
        )
    return sampler, loader


def _loader(
    opt: Mapping[str, Any], dataset: Any, dataset_opt: dict[str, Any], sampler: SeededSampler | None = None
) -> DataLoader[Any]:
    """BasicSR's loader, whose iterators do not draw from the generator that the networks draw from."""
    seed = opt["manual_seed"]
    loader = build_dataloader(
        dataset, dataset_opt, num_gpu=opt["num_gpu"], dist=opt["dist"], sampler=sampler, seed=seed
    )
    loader.generator = torch.Generator().manual_seed(seed)  # build_dataloader cannot pass it on to DataLoader
    return loader


def _resumed_state(opt: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state from which this training resumes: `path.resume_state`, which `load_resume_state` has set."""
    file = opt["path"].get("resume_state")
    return None if file is None else load_tensors(Path(file))


def _log_resumption(
    opt: Mapping[str, Any], state: Mapping[str, Any] | None, start: TrainingStart, logger: Logger
) -> Changes:
    """Log what differs from the training that saved the state, and return the changed options."""
    if state is None:
        return {}
    if state.get("per_epoch") != start.batches_per_epoch:
        logger.warning("The state is of epochs of another length: its epoch starts anew.")
    if start.iteration >= opt["train"]["total_iter"]:
        logger.info(f"Nothing is left to train: iteration {start.iteration} is done, and total_iter is not larger.")
    changes = changed_options(state, opt["trained_with"])
    for key, (before, now) in changes.items():
        logger.warning(f"Resumed with another option: {key} was {before}, and is {now} from now on.")
    return changes


def _log_sizes(
    logger: Logger,
    opt: Mapping[str, Any],
    sampler: SeededSampler,
    loader: DataLoader[Any],
    val_loaders: list[DataLoader[Any]],
) -> None:
    logger.info(
        f"Training set: {len(sampler.dataset)} images. World size (gpu number): {opt['world_size']}. "
        f"An epoch is {len(loader)} iterations, of batches of {loader.batch_size} in {opt['world_size']} process(es). "
        f"The training ends after iteration {opt['train']['total_iter']}."
    )
    for val_loader in val_loaders:
        dataset: Any = val_loader.dataset
        logger.info(f"Number of val images/folders in {dataset.opt['name']}: {len(dataset)}")


class Prefetcher:
    """Stands in for `basicsr.train.CPUPrefetcher`, which starts the workers twice: here `reset` starts them.

    A batch that cannot be read ends the training before its iteration (`stopping.note_mistake`).
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        self._batches: Iterator[Any] = iter(())

    def reset(self) -> None:
        """Start an epoch."""
        with signals_blocked():  # for the workers, which inherit it: this process ends them when it has saved
            self._batches = iter(self.loader)

    def next(self) -> Any | None:
        """The next batch; None at the end of the epoch or of the training."""
        return _sound(next(self._batches, None))


class PrefetcherToGPU(CUDAPrefetcher):
    """The same for `basicsr.train.CUDAPrefetcher`, which moves the next batch to the GPU in advance."""

    def __init__(self, loader: DataLoader[Any], opt: dict[str, Any]) -> None:
        self.ori_loader, self.opt = loader, opt
        self.stream = torch.cuda.Stream()
        self.device = torch.device("cuda" if opt["num_gpu"] != 0 else "cpu")

    def reset(self) -> None:
        """Start an epoch."""
        with signals_blocked():
            super().reset()

    def next(self) -> Any | None:
        """The next batch; None at the end of the epoch or of the training."""
        return _sound(super().next())


def _sound(batch: Any | None) -> Any | None:
    """`batch`, after a mistake is noted if it cannot be read."""
    reason = unreadable(batch)
    if reason:
        note_mistake(reason)
    return batch
