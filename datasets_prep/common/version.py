"""The version of the three packages of this project. It stands here alone: the commands print it without torch."""

__version__ = "0.1.0"
