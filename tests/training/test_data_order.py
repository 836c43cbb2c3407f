"""The order of the data and its random draws depend on seed, epoch and place alone; iterations are counted right."""

import random

import pytest
from basicsr.data import build_dataloader
from torch.utils.data import Dataset

from mihatp_arch.training.data_order import SeededDataset, SeededSampler, Start, start_of


class Drawing(Dataset):
    """Samples that are what a random draw made of them."""

    opt = {"phase": "train"}  # noqa: RUF012  what BasicSR's loader reads

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, random.random()


def epochs(workers: int, number: int, *, seed: int = 0) -> list[list[tuple[int, float]]]:
    dataset = SeededDataset(Drawing())
    dataset.seed = seed
    sampler = SeededSampler(dataset, 1, 0, 1)
    options = {"phase": "train", "num_worker_per_gpu": workers, "batch_size_per_gpu": 2, "name": "x"}
    loader = build_dataloader(dataset, options, num_gpu=0, dist=False, sampler=sampler, seed=0)
    found = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        found.append([(int(i), float(x)) for indices, draws in loader for i, x in zip(indices, draws, strict=True)])
    return found


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
    start = Start(0, 0, 0, per_epoch)
    for iteration in range(1, 40):
        epoch, served = start.at(iteration)
        assert epoch == (iteration - 1) // per_epoch
        assert served == iteration - epoch * per_epoch
        assert start.last_epoch(iteration) == epoch


def test_a_resumed_training_counts_as_if_it_had_not_stopped():
    whole = Start(0, 0, 0, 11)
    for stop in (1, 10, 11, 12, 25):
        epoch, served = whole.at(stop)
        resumed = start_of({"iter": stop, "epoch": epoch, "served": served, "per_epoch": 11}, 11)
        assert [resumed.at(number) for number in range(stop + 1, 50)] == [whole.at(n) for n in range(stop + 1, 50)]
        assert resumed.last_epoch(50) == whole.last_epoch(50)


def test_a_state_of_epochs_of_another_length_starts_its_epoch_anew():
    state = {"iter": 7, "epoch": 1, "served": 3, "per_epoch": 4}
    assert start_of(state, 5) == Start(7, 1, 0, 5)
    assert start_of({"iter": 7, "epoch": 1}, 4) == Start(7, 1, 0, 4)  # basicsr's own
