"""`datasets.<name>`: where the images of one data set lie and how they are loaded."""

from typing import Annotated, Literal

from msgspec import Meta

from mihatp_arch.config.schema.types import NONE, Constructor, Count, Positive, Section, about


class Backend(Constructor):
    """`io_backend`: how files are opened; its other keys are arguments of BasicSR's storage backend."""

    type: Annotated[str, about("`disk` for folders of images, `lmdb` for LMDB folders.")] = NONE


class Dataset(Section):
    """The keys of every data set: BasicSR's loader reads them, whatever the type."""

    type: Annotated[str, about("A registered data set.")] = NONE
    name: Annotated[str, about("The name in the log, in results/ and in tables.", default="the key")] = NONE
    io_backend: Annotated[Backend, about("How files are opened.")] = NONE
    dataroot_gt: Annotated[str | None, about("HR images: a folder, or an LMDB folder that ends in `.lmdb`.")] = NONE
    dataroot_lq: Annotated[str | None, about("LR images: a folder, or an LMDB folder that ends in `.lmdb`.")] = NONE
    mean: Annotated[list[float] | None, about("Subtracted from each channel.")] = None
    std: Annotated[list[float] | None, about("Each channel is divided by it.")] = None
    gt_size: Annotated[Positive, about("Width of the HR crop in pixels; a multiple of the scale. Training only.")] = (
        NONE
    )
    num_worker_per_gpu: Annotated[Count, about("Loader processes for each GPU. Training only.")] = NONE
    batch_size_per_gpu: Annotated[Positive, about("Images in a batch for each GPU. Training only.")] = NONE
    dataset_enlarge_ratio: Annotated[
        float, Meta(gt=0, le=1e6), about("How often an epoch goes through the images. Training only.")
    ] = 1
    persistent_workers: Annotated[bool, about("Keep the loader processes from epoch to epoch. Needs workers.")] = False
    pin_memory: Annotated[bool, about("Load into pinned memory, from which copies to a GPU are faster.")] = False
    prefetch_mode: Annotated[Literal["cpu", "cuda"] | None, about("Load the next batch during a step.")] = None
    num_prefetch_queue: Annotated[Positive, about("Batches that `prefetch_mode: cpu` loads ahead.")] = 1
    use_shuffle: Annotated[bool, about("BasicSR 1.4.2 does not read it; its own option files have it.")] = NONE
    interval_list: Annotated[list[int], about("Of videos; BasicSR's own option files have it for images too.")] = NONE
    dataroot_flow: Annotated[str | None, about("Of videos; BasicSR's own option files have it for images too.")] = NONE
    padding: Annotated[str, about("Of videos; BasicSR's own option files have it for images too.")] = NONE


class PairedImageDataset(Dataset):
    """Pairs of HR and LR images with the same names."""

    meta_info_file: Annotated[
        str | None, about("A text file with an HR image name a line; null takes the whole folder.")
    ] = None
    filename_tmpl: Annotated[str, about("The name of the LR image; `{}` stands for the name of the HR image.")] = "{}"
    color: Annotated[Literal["y"] | None, about("`y` converts to luminance.")] = None
    kernel: Annotated[
        str | None, about("How LR was made from HR: area, bicubic, pyramid.", default="by manifest.csv or the images")
    ] = None
    use_hflip: Annotated[bool, about("Random horizontal flips. Training only.")] = NONE
    use_rot: Annotated[bool, about("Random vertical flips and quarter turns. Training only.")] = NONE


class SingleImageDataset(Dataset):
    """LR images without HR, for `basicsr test`."""

    meta_info_file: Annotated[str, about("A text file with an image name a line.", default="the folder")] = NONE
    color: Annotated[Literal["y"] | None, about("`y` converts to luminance.")] = None
    kernel: Annotated[str | None, about("How LR was made: area, bicubic, pyramid; null: not known.")] = None


# BasicSR's other types (videos, faces, Real-ESRGAN) have keys that are not listed here.
DATASETS: dict[str, type[Dataset]] = {
    "PairedImageDataset": PairedImageDataset,
    "SingleImageDataset": SingleImageDataset,
}
