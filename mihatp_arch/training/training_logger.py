"""The log lines of a training."""

from typing import Any

from basicsr.utils.logger import MessageLogger


class TrainingLogger(MessageLogger):
    """BasicSR's log lines, with the right time that is left: 0 at the last iteration."""

    def __init__(self, opt: dict[str, Any], start_iter: int = 1, tb_logger: Any = None) -> None:
        super().__init__(opt, start_iter, tb_logger)
        self.max_iters += 1  # BasicSR subtracts one too many
