"""What a launcher's process needs from its environment."""

import pytest

from mihatp_arch.errors import UserError
from mihatp_arch.training import distributed


def test_a_launcher_without_its_environment_is_one_line(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="--launcher pytorch: the environment lacks RANK; start it with `torchrun"):
        distributed.init_dist("pytorch")
    with pytest.raises(UserError, match="--launcher slurm: the environment lacks 'SLURM_PROCID'; start it with srun"):
        distributed.init_dist("slurm")
