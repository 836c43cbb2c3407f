"""The images of a validation, one after another, shared by all processes."""

from collections.abc import Iterator, Mapping
from os import path as osp
from typing import Any

from torch.utils.data import DataLoader, Subset

from datasets_prep.common.processes.progress import progress_bar
from mihatp_arch.training.data.sound_images import Collate, SoundImages, unreadable
from mihatp_arch.training.stopping import note_mistake


def images_of_process(
    dataloader: DataLoader[Any], rank: int, world: int, first: int, *, shown: bool
) -> Iterator[tuple[int, int, Mapping[str, Any] | None]]:
    """The images of process `rank` of `world`, from its `first` one: its number, the index in the set, the batch.

    Every process gets equally many. The batch is None where this process has no more, or where its image cannot be
    read, which is noted as a mistake.
    """
    dataset: Any = dataloader.dataset
    indices = range(rank, len(dataset), world)
    own = DataLoader(
        Subset(SoundImages(dataset), indices[first:]),
        batch_size=1,
        collate_fn=Collate(),
        generator=dataloader.generator,
    )
    batches = iter(own)
    with progress_bar(total=len(indices), initial=first, unit="image", shown=shown and rank == 0) as bar:
        for step in range(first, len(range(0, len(dataset), world))):
            data = next(batches, None)
            reason = unreadable(data)
            if reason:
                note_mistake(reason)
                data = None
            yield step, rank + step * world, data
            bar.update()
            bar.set_description(f"Test {name_of(data)}" if data else None)


def name_of(data: Mapping[str, Any]) -> str:
    """The name of the image in a batch of one, without its ending."""
    return osp.splitext(osp.basename(data["lq_path"][0]))[0]
