"""`mihatp export`."""

import argparse
from pathlib import Path
from typing import Any

SUMMARY = "Write a trained network and its options as one safetensors file, or the network as ONNX."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "experiment",
        type=Path,
        metavar="EXPERIMENT",
        help="its folder, experiments/<name>; with --onnx also any weights that `mihatp upscale` takes",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="new .safetensors file, or .onnx with --onnx"
    )
    parser.add_argument("--weights", type=Path, metavar="PTH", help="one of its net_g (default: the best, else newest)")
    parser.add_argument(
        "--mpp",
        type=float,
        help="µm per HR pixel in the training (default: that of the data set's manifest or of the weights)",
    )
    parser.add_argument(
        "--card", type=Path, metavar="YAML", help="the model card: data, numbers, licence, … (a YAML or JSON mapping)"
    )
    parser.add_argument("--half", action="store_true", help="write fp16: half the size")
    parser.add_argument("--onnx", action="store_true", help="write ONNX for tiles of one size (extra `onnx`)")
    parser.add_argument("--tile", type=int, metavar="PX", help="side of these tiles, LR px (default: up to 160)")


def run(args: argparse.Namespace) -> int:
    """Export the network and say which weights it has."""
    from mihatp_arch import experiments
    from mihatp_arch.checkpoints import load_tensors
    from mihatp_arch.errors import UserError

    if args.tile is not None and not args.onnx:
        raise UserError("--tile is an option of --onnx")
    if args.half and args.onnx:
        raise UserError("--half is no option of --onnx, which writes fp32")
    if args.mpp is not None and not 0 < args.mpp < float("inf"):
        raise UserError(f"--mpp {args.mpp:g}: it must be above 0")
    card = None if args.card is None else _card(args.card)
    if args.onnx:
        from mihatp_arch.inference.onnx.export import export_onnx

        if args.weights is not None:
            raise UserError(f"--weights: with --onnx, give {args.weights} in place of EXPERIMENT")
        source = args.experiment
        difference = export_onnx(source, args.output, tile=args.tile, mpp=args.mpp, card=card)
        print(f"{args.output}: the weights of {source}; onnxruntime and PyTorch differ by at most {difference:.1g}")
        return 0
    source = experiments.export(
        args.experiment, args.output, weights=args.weights, mpp=args.mpp, card=card, half=args.half
    )
    averaged = "params_ema" in load_tensors(source)
    print(f"{args.output}: the {'averaged weights' if averaged else 'weights, which are not averaged,'} of {source}")
    return 0


def _card(path: Path) -> dict[str, Any]:
    from mihatp_arch.config import yaml_files
    from mihatp_arch.errors import UserError

    try:
        card = yaml_files.parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--card: '{path}' cannot be read: {error}") from error
    if not isinstance(card, dict):
        raise UserError(f"--card: '{path}' is no mapping of sections")
    return card
