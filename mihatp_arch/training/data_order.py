"""Which sample comes when, and with which random crop and flips: a function of seed, epoch and place alone.

So neither the number of workers nor an interruption changes what the network sees; a training that resumes skips what
it has seen without reading it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.data.prefetch_dataloader import CUDAPrefetcher
from torch.utils.data import DataLoader, Dataset

from mihatp_arch.training.random_state import seeded


class Place(NamedTuple):
    """What the sampler asks the data set for: a sample, and where in which epoch of all processes it stands."""

    index: int
    epoch: int
    position: int


class SeededSampler(EnlargedSampler):
    """BasicSR's sampler in BasicSR's order, with the place of each sample; `skip` leaves out the first of one epoch."""

    skip: int = 0

    def __iter__(self) -> Iterator[Place]:
        skip, self.skip = self.skip, 0
        indices = islice(enumerate(super().__iter__()), skip, None)
        epoch, ranks, rank = self.epoch, self.num_replicas, self.rank
        return (Place(index, epoch, number * ranks + rank) for number, index in indices)


class SeededDataset(Dataset[Any]):
    """A training set whose random crops and flips are drawn from the seed and the sample's place."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset
        self.seed = 0

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, place: Place) -> Any:
        with seeded(self.seed, place.epoch, place.position):
            return self.dataset[place.index]

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not there yet while a worker unpickles
            raise AttributeError(name)
        return getattr(self.dataset, name)


class Prefetcher:
    """Stands in for `basicsr.train.CPUPrefetcher`: ends after `batches_left` batches, and starts its workers once.

    basicsr 1.4.2 ends its loop with the epoch and counts iterations on that it does not train.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        self._left: int = loader.batches_left  # type: ignore[attr-defined]
        self._batches: Iterator[Any] = iter(())

    def reset(self) -> None:
        """Start an epoch."""
        self._batches = iter(self.loader) if self._left else iter(())

    def next(self) -> Any | None:
        """The next batch; None at the end of the epoch or of the training."""
        if not self._left:
            return None
        batch = next(self._batches, None)
        self._left -= batch is not None
        return batch


class CountingCUDAPrefetcher(CUDAPrefetcher):
    """The same for `basicsr.train.CUDAPrefetcher`, which moves the next batch to the GPU beforehand."""

    def __init__(self, loader: DataLoader[Any], opt: dict[str, Any]) -> None:
        self.ori_loader, self.opt = loader, opt
        self.stream = torch.cuda.Stream()
        self.device = torch.device("cuda" if opt["num_gpu"] != 0 else "cpu")
        self._left: int = loader.batches_left  # type: ignore[attr-defined]

    def next(self) -> Any | None:
        """The next batch; None at the end of the epoch or of the training."""
        if not self._left:
            return None
        batch = super().next()
        self._left -= batch is not None
        return batch


class Start(NamedTuple):
    """Where in the data a training starts: the epoch, how many batches of it are done, and what each epoch gives."""

    iteration: int
    epoch: int
    served: int
    per_epoch: int

    def at(self, iteration: int) -> tuple[int, int]:
        """The epoch that iteration `iteration` belongs to, and how many of its batches are done after it."""
        done = self.served + iteration - self.iteration
        epochs = max(0, done - 1) // self.per_epoch
        return self.epoch + epochs, done - epochs * self.per_epoch

    def last_epoch(self, total: int) -> int:
        """The epoch in which iteration `total` lies; one before `epoch` where that is done already."""
        return self.epoch - 1 + -(-max(0, self.served + total - self.iteration) // self.per_epoch)


def start_of(state: dict[str, Any] | None, per_epoch: int) -> Start:
    """Where training starts, by the state that it resumes from (None: anew).

    A state of epochs of another length (another batch size, other data, basicsr's own file) starts its epoch anew.
    """
    if state is None:
        return Start(0, 0, 0, per_epoch)
    served = state.get("served", -1)
    same = state.get("per_epoch") == per_epoch and 0 <= served <= per_epoch
    return Start(state["iter"], state["epoch"], served if same else 0, per_epoch)
