"""The first version's name of `datasets_prep.synthetic`, for scripts that still import it."""

from datasets_prep.synthetic import write_synthetic_slide

__all__ = ["write_synthetic_slide"]
