"""A validation that a signal stopped between two images: its rows wait in a file, and it resumes after them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from datasets_prep.common.files import write_file

Row = tuple[int, str, dict[str, float]]  # index in the set, name of the image, metric -> value


class UnfinishedValidation:
    """The file `metrics/.<set>_<iteration>.unfinished<rank>` of one process, in a training; a test has none.

    Args:
        model: that is validated, with its options `opt`.
        dataset: the options of the set.
        iteration: that was done before.
        variants: number of outputs of the model that are measured.
    """

    def __init__(self, model: Any, dataset: Mapping[str, Any], iteration: int | str, variants: int) -> None:
        opt = model.opt
        self._model, self._dataset, self._variants = model, dataset, variants
        self._shared = bool(opt["dist"])
        self._file: Path | None = None
        if opt["is_train"]:
            folder = Path(opt["path"]["experiments_root"]) / "metrics"
            self._file = unfinished(folder, dataset["name"], iteration, opt.get("rank", 0))

    def read(self) -> tuple[list[list[Row]], int]:
        """The rows of each variant, and how many images this process has done. All processes have done equally many.

        Rows of other weights, options or images are not taken.
        """
        done, rows = 0, [[] for _ in range(self._variants)]
        with suppress(OSError, ValueError, KeyError, TypeError):  # without a sound file, the validation starts anew
            content = json.loads(self._file.read_text(encoding="utf-8")) if self._file is not None else {}
            if content and content["of"] == self._fingerprint():
                done, rows = int(content["done"]), [[_row(row) for row in part] for part in content["rows"]]
        if not self._shared:
            return rows, done
        least = torch.tensor(done)
        distributed.all_reduce(least, distributed.ReduceOp.MIN)
        world = self._model.opt["world_size"]
        return [[row for row in part if row[0] < int(least) * world] for part in rows], int(least)

    def write(self, rows: Sequence[Sequence[Row]], done: int) -> None:
        """Write the rows of the first `done` images of this process. Raises `OSError`."""
        if self._file is None or not done:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        content = {"of": self._fingerprint(), "done": done, "rows": rows}
        write_file(self._file, json.dumps(content).encode())

    def remove(self) -> None:
        """Remove the file, because the validation is finished."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _fingerprint(self) -> str:
        """A hash of the weights, and of the options that the rows depend on."""
        opt, network = self._model.opt, getattr(self._model, "net_g_ema", self._model.net_g)
        dataset = {key: value for key, value in self._dataset.items() if key != "io_backend"}  # BasicSR changes it
        options = [opt["val"], dataset, opt.get("world_size", 1)]
        digest = hashlib.sha256(json.dumps(options, default=str, sort_keys=True).encode())
        for tensor in network.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def unfinished(folder: Path, dataset: str, iteration: int | str, rank: int = 0) -> Path:
    """The file of the process `rank` for the validation of the set `dataset` after `iteration`, in `metrics`."""
    return folder / f".{dataset}_{iteration}.unfinished{rank}"


def _row(row: Sequence[Any]) -> Row:
    index, name, values = row
    return int(index), str(name), {str(metric): float(value) for metric, value in values.items()}
