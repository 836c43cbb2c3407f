"""Several processes, started by torchrun or Slurm: how they find each other, and how they share a network."""

import multiprocessing
import os
import subprocess
from typing import Any

import torch
from basicsr.models import base_model

from mihatp_arch.errors import UserError
from mihatp_arch.training.cuda_graphs import use_graphs


def init_dist(launcher: str, backend: str = "nccl", **kwargs: Any) -> None:
    """Stands in for `basicsr.utils.options.init_dist`: joins the process group, on GPUs (nccl) or CPUs (gloo).

    `kwargs` are the option file's `dist_params`; `port` is the one that Slurm needs.
    """
    if multiprocessing.get_start_method(allow_none=True) is None:
        multiprocessing.set_start_method("spawn")
    if launcher == "slurm":
        _slurm_environment(kwargs.pop("port", None))
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UserError(
            f"--launcher {launcher}: the environment lacks {missing[0]}; start it with "
            "`torchrun --nproc_per_node N $(which basicsr) train --launcher pytorch -opt …`"
        )
    if not torch.cuda.is_available():
        backend = "gloo"
    elif backend == "nccl":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", os.environ["RANK"])) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"  # num_gpu: 0 keeps the tensors on the CPU
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) and os.environ.get("GROUP_WORLD_SIZE") == "1":
        kwargs |= _store_of_restart()
    try:
        torch.distributed.init_process_group(backend=backend, **kwargs)
    except torch.distributed.DistNetworkError as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UserError(f"the processes cannot meet at {where} ({error}); set another MASTER_PORT") from error


def _store_of_restart() -> dict[str, Any]:
    """A store of addresses for a group of processes that torchrun has restarted.

    torch (2.13) lets a restarted group read the addresses of the processes that died, and wait for them for ever. So
    each restart gets a prefix of its own. Only the processes of one machine know the same number of restarts.
    """
    store, rank, world = next(iter(torch.distributed.rendezvous("env://")))
    prefix = f"restart_{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    return {"store": torch.distributed.PrefixStore(prefix, store), "rank": rank, "world_size": world}


def _slurm_environment(port: int | None) -> None:
    """Set torch's environment variables for this process from those of Slurm."""
    try:
        environment = {
            "RANK": os.environ["SLURM_PROCID"],
            "WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"],  # a batch script outside srun has the other names
            "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        }
        nodes = os.environ["SLURM_STEP_NODELIST"]
    except KeyError as error:
        raise UserError(f"--launcher slurm: the environment lacks {error}; start it with srun") from None
    if "MASTER_ADDR" not in os.environ:
        try:
            hosts = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError("--launcher slurm: scontrol names no host; set MASTER_ADDR") from error
        environment["MASTER_ADDR"] = hosts.stdout.split()[0]
    port_of_job = 15000 + int(os.environ.get("SLURM_JOB_ID", 0)) % 15000  # two jobs may share a node
    environment["MASTER_PORT"] = str(port or os.environ.get("MASTER_PORT", port_of_job))
    os.environ.update(environment)


class _Distributed(torch.nn.parallel.DistributedDataParallel):
    """DistributedDataParallel in training, the bare network in eval mode.

    In eval mode the processes validate different images, and torch would wait for all of them in each forward pass.
    """

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return super().forward(*inputs, **kwargs) if self.training else self.module(*inputs, **kwargs)


def model_to_device(self: base_model.BaseModel, net: torch.nn.Module) -> torch.nn.Module:
    """Stands in for `BaseModel.model_to_device`: moves the network to its device, then compiles, records and shares it.

    `train.compile` and `train.cuda_graphs` ask for the first two; several processes or GPUs share the network.
    """
    net = net.to(self.device)
    if self.is_train and self.opt["train"].get("compile"):
        net.compile(dynamic=False)  # in place: names, checkpoints and DistributedDataParallel see the same network
    if self.is_train and self.opt["train"].get("cuda_graphs"):
        if self.opt["dist"] or self.opt["num_gpu"] > 1:
            raise UserError("train.cuda_graphs: only for one process and one GPU; set it to false")
        use_graphs(net)
    if self.opt["dist"]:
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else None
        unused = self.opt.get("find_unused_parameters", False)
        return _Distributed(net, device_ids=devices, find_unused_parameters=unused)
    return base_model.DataParallel(net) if self.opt["num_gpu"] > 1 else net
