"""The error of every package here: data preparation, which stands below this one, defines it."""

from datasets_prep.common.errors import UserError

__all__ = ["UserError"]
