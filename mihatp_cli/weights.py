"""`mihatp weights`."""

import argparse

SUMMARY = "List the weights in this package, or show the model card of one of them."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("name", nargs="?", metavar="NAME|FILE", help="bundled weights, or a file of `mihatp export`")


def run(args: argparse.Namespace) -> int:
    """Print a table of the bundled weights, or one model card."""
    from mihatp_arch import weight_cards

    print(weight_cards.card(args.name) if args.name else weight_cards.overview())
    return 0
