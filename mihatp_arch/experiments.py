"""The networks in `experiments/` as single files for others to use."""

import json
from pathlib import Path

from safetensors.torch import save_file

from datasets_prep.common.files import replacing
from mihatp_arch.checkpoints import kernel_of_weights, load_tensors, newest_network, weights_below
from mihatp_arch.config import yaml_files
from mihatp_arch.errors import UserError


def export(experiment: Path, output: Path, *, weights: Path | None = None) -> Path:
    """Write the `net_g` of an experiment, averaged weights where it has them, as safetensors, and return its source.

    The file carries the options of the network, the scale and the kernel of its training data (`area`, `bicubic`,
    `pyramid`; empty: not known) as metadata, so that it says what it is.

    Args:
        experiment: folder of the experiment.
        output: a new file that ends in `.safetensors`.
        weights: a `net_g_*.pth` of it; None takes the best, else the newest.

    Raises:
        UserError: there is no network, or `output` exists or cannot be written.
    """
    if output.suffix != ".safetensors":
        raise UserError(f"'{output}' must end in .safetensors")
    if output.exists():
        raise UserError(f"'{output}' exists: name another file")
    recorded = experiment / f"{experiment.name}.yml"
    if not recorded.is_file():
        raise UserError(f"'{recorded}' cannot be read: name the folder of an experiment")
    options = yaml_files.read(recorded)
    source = weights or newest_network(experiment / "models")
    if source is None:
        raise UserError(f"nothing is trained in '{experiment}' yet: there is no net_g in its models/")
    tensors = weights_below(source, load_tensors(source, mapped=False), "params_ema")
    metadata = {
        "format": "pt",
        "network_g": json.dumps(options["network_g"]),
        "scale": str(options.get("scale", "")),
        "options": json.dumps(options),
        "source": source.name,
        "kernel": kernel_of_weights(source) or "",
    }
    try:
        with replacing(output) as partial:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata)
    except OSError as error:
        raise UserError(f"cannot write '{output}': {error.strerror or error}") from error
    return source
