"""The error of every package here, and the reason that it gives: data preparation, which stands below, defines them."""

from datasets_prep.common.errors import UserError, reason_of

__all__ = ["UserError", "reason_of"]
