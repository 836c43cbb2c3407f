"""`mihatp prepare`."""

from datasets_prep.arguments import add_arguments
from datasets_prep.command import SUMMARY, run

__all__ = ["SUMMARY", "add_arguments", "run"]
