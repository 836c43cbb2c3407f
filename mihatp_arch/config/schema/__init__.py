"""The schema of option files: option_file.py first, then a file for each group of sections."""

from mihatp_arch.config.schema.data import DATASETS, Backend, Dataset, PairedImageDataset
from mihatp_arch.config.schema.option_file import CONVENTIONS, MODELS, SET_BY_BASICSR, Network, OptionFile
from mihatp_arch.config.schema.run import DistParams, Metric
from mihatp_arch.config.schema.train import Loss, Optimizer, Scheduler
from mihatp_arch.config.schema.types import Constructor, Section

__all__ = [
    "CONVENTIONS",
    "DATASETS",
    "MODELS",
    "SET_BY_BASICSR",
    "Backend",
    "Constructor",
    "Dataset",
    "DistParams",
    "Loss",
    "Metric",
    "Network",
    "Optimizer",
    "OptionFile",
    "PairedImageDataset",
    "Scheduler",
    "Section",
]
