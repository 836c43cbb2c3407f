"""The order of the data and its random draws depend on seed, epoch and position alone; iterations are counted right."""

import random

import pytest
from basicsr.data import build_dataloader
from torch.utils.data import Dataset

from mihatp_arch.training.data.order import SeededDataset, SeededSampler, TrainingStart


class Drawing(Dataset):
    """Samples that are what a random draw made of them."""

    opt = {"phase": "train"}  # noqa: RUF012  what BasicSR's loader reads

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, random.random()


def epochs(workers: int, number: int, *, seed: int = 0) -> list[list[tuple[int, float]]]:
    dataset = SeededDataset(Drawing(), seed=seed)
    sampler = SeededSampler(dataset, 1, 0, 1)
    options = {"phase": "train", "num_worker_per_gpu": workers, "batch_size_per_gpu": 2, "name": "x"}
    loader = build_dataloader(dataset, options, num_gpu=0, dist=False, sampler=sampler, seed=0)
    samples = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        samples.append([(int(i), float(x)) for indices, draws in loader for i, x in zip(indices, draws, strict=True)])
    return samples


def test_no_epoch_repeats_the_draws_of_another():
    first, second, third = epochs(0, 3)
    for one, other in ((first, second), (first, third), (second, third)):
        assert not {draw for _, draw in one} & {draw for _, draw in other}
        assert [index for index, _ in one] != [index for index, _ in other]
    assert epochs(0, 3) == [first, second, third]
    assert epochs(0, 1, seed=1)[0] != first


def test_workers_change_nothing():
    assert epochs(2, 2) == epochs(0, 2)


@pytest.mark.parametrize("per_epoch", [1, 2, 11])
def test_an_iteration_lies_in_the_epoch_whose_batches_it_takes(per_epoch):
    start = TrainingStart(0, 0, 0, per_epoch)
    for iteration in range(1, 40):
        epoch, served = start.after(iteration)
        assert epoch == (iteration - 1) // per_epoch
        assert served == iteration - epoch * per_epoch
        assert start.last_epoch(iteration) == epoch


def test_a_resumed_training_counts_as_if_it_had_not_stopped():
    whole = TrainingStart(0, 0, 0, 11)
    for stop in (1, 10, 11, 12, 25):
        epoch, served = whole.after(stop)
        resumed = TrainingStart.of({"iter": stop, "epoch": epoch, "served": served, "per_epoch": 11}, 11)
        assert [resumed.after(number) for number in range(stop + 1, 50)] == [
            whole.after(n) for n in range(stop + 1, 50)
        ]
        assert resumed.last_epoch(50) == whole.last_epoch(50)


def test_a_state_of_epochs_of_another_length_starts_its_epoch_anew():
    state = {"iter": 7, "epoch": 1, "served": 3, "per_epoch": 4}
    assert TrainingStart.of(state, 5) == TrainingStart(7, 1, 0, 5)
    assert TrainingStart.of({"iter": 7, "epoch": 1}, 4) == TrainingStart(7, 1, 0, 4)  # basicsr's own


@pytest.mark.parametrize(("iteration", "epoch", "done"), [(0, 0, 0), (5, 1, 2), (6, 1, 3), (8, 2, 2)])
@pytest.mark.parametrize("total", [8, 10, 12])
def test_a_sampler_gives_the_samples_of_the_iterations_that_are_left(iteration, epoch, done, total):
    """Three batches of two samples an epoch, of eight samples: the last two of each epoch fill no batch of three."""
    sampler = SeededSampler(Drawing(), 1, 0, 1)

    def samples(number: int) -> list[tuple[int, int, int]]:
        sampler.set_epoch(number)
        return [tuple(sample) for sample in sampler]

    whole = [sample for number in range(5) for sample in samples(number)[:6]]
    start = TrainingStart(iteration, epoch, done, 3)
    sampler.train_from(start, total=total, batch_size=2)
    left = [sample for number in range(epoch, start.last_epoch(total) + 1) for sample in samples(number)]
    assert left == whole[2 * iteration : 2 * total]
