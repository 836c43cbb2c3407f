"""`mihatp prepare`."""

from datasets_prep.command import SUMMARY, add_arguments, run

__all__ = ["SUMMARY", "add_arguments", "run"]
