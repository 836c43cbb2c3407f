"""Which sample comes when, and with which random crop and flips: a function of seed, epoch and position alone.

Neither the number of workers nor an interruption changes what the network sees. A training that resumes skips the
samples of its epoch that were trained before, without reading them.
"""

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import Dataset

from mihatp_arch.training.data.sound_images import read_sample
from mihatp_arch.training.random_state import seeded


@dataclass(frozen=True)
class TrainingStart:
    """Where in the data a training starts.

    Attributes:
        iteration: the last iteration that is done; 0 at the beginning.
        epoch: the epoch of that iteration.
        batches_done: batches of this epoch that are done.
        batches_per_epoch: batches that every epoch gives to each process.
    """

    iteration: int
    epoch: int
    batches_done: int
    batches_per_epoch: int

    @classmethod
    def of(cls, state: Mapping[str, Any] | None, batches_per_epoch: int) -> "TrainingStart":
        """Where a training starts that resumes from a training state (None: a new training).

        A state whose epochs have another length (another batch size, other data, a state of BasicSR's own) starts its
        epoch anew.
        """
        if state is None:
            return cls(0, 0, 0, batches_per_epoch)
        done = state.get("served", -1)
        same = state.get("per_epoch") == batches_per_epoch and isinstance(done, int) and 0 <= done <= batches_per_epoch
        return cls(state["iter"], state["epoch"], done if same else 0, batches_per_epoch)

    def after(self, iteration: int) -> tuple[int, int]:
        """The epoch that iteration `iteration` belongs to, and how many batches of the epoch are done after it."""
        done = self.batches_done + iteration - self.iteration
        epochs = max(0, done - 1) // self.batches_per_epoch
        return self.epoch + epochs, done - epochs * self.batches_per_epoch

    def last_epoch(self, total: int) -> int:
        """The epoch in which iteration `total` lies; one before `epoch` where that iteration is done already."""
        return self.epoch - 1 + -(-self._batches_until(total) // self.batches_per_epoch)

    def batches_of(self, epoch: int, total: int) -> tuple[int, int]:
        """The batches [first, end) of `epoch` that are trained until iteration `total`."""
        first = self.batches_done if epoch == self.epoch else 0
        left = self._batches_until(total) - (epoch - self.epoch) * self.batches_per_epoch
        return first, max(first, min(left, self.batches_per_epoch))

    def _batches_until(self, total: int) -> int:
        """Batches from the beginning of `epoch` up to iteration `total`."""
        return max(0, self.batches_done + total - self.iteration)


# Where the training of this process started. BasicSR's loop gives a model neither loader nor sampler, only a copy of
# the options. So this one value stands here: `create_train_val_dataloader` sets it, saving and stopping read it. It is
# None where a model is used without the loop.
training_start: ContextVar[TrainingStart | None] = ContextVar("training_start", default=None)


class SamplePosition(NamedTuple):
    """What the sampler asks the data set for: a sample, and its position among the samples of all processes."""

    sample: int
    epoch: int
    position: int


class SeededSampler(EnlargedSampler):
    """BasicSR's sampler: the same order, but it gives each sample with its position, and can begin and end early."""

    _span: tuple[TrainingStart, int, int] | None = None

    def train_from(self, start: TrainingStart, *, total: int, batch_size: int) -> None:
        """Give only the samples of the iterations after `start` up to iteration `total`."""
        self._span = start, total, batch_size

    def __iter__(self) -> Iterator[SamplePosition]:
        first, end = 0, self.num_samples
        if self._span is not None:
            start, total, batch_size = self._span
            first, end = (batch * batch_size for batch in start.batches_of(self.epoch, total))
        epoch, ranks, rank = self.epoch, self.num_replicas, self.rank
        samples = islice(enumerate(super().__iter__()), first, end)
        return (SamplePosition(sample, epoch, number * ranks + rank) for number, sample in samples)


class SeededDataset(Dataset[Any]):
    """A training set whose random crops and flips are drawn from `seed` and the position of each sample.

    It answers for all attributes of the data set inside. Workers that are spawned import this package with it.
    """

    def __init__(self, dataset: Any, *, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: SamplePosition) -> Any:
        with seeded(self.seed, position.epoch, position.position):
            return read_sample(self.dataset, position.sample)

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # a worker that unpickles has not set it yet
            raise AttributeError(name)
        return getattr(self.dataset, name)
