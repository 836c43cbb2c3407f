"""Writes the files in options/ from one table: `python -m mihatp_arch.config.make_options [FOLDER]`.

The table is option_files/table.py. One `Method` says what distinguishes a method from the
others. Sections that all files share are in option_files/templates.py. A new method takes

1. its architecture, a file in archs/;
2. an entry in option_files/methods.py, and its name in option_files/table.py.

Then run this command. It writes train_<method>_x2.yml, _x4.yml and _x8.yml, and adds the method to the benchmark
files. Overlays (options/overlays/) are written by hand.
"""

import sys
from pathlib import Path

from datasets_prep.common.files import write_file
from mihatp_arch.config.option_files.candidates import candidates_file
from mihatp_arch.config.option_files.method import SCALES
from mihatp_arch.config.option_files.methods import MIHATP
from mihatp_arch.config.option_files.nuclei import NUCLEI, nuclei_file
from mihatp_arch.config.option_files.render import benchmark_file, test_file, training_file
from mihatp_arch.config.option_files.table import METHODS

FOLDER = Path(__file__).resolve().parents[2] / "options"
_FOR_THE_EDITOR = "# yaml-language-server: $schema=schema.json\n"


def option_files() -> dict[str, str]:
    """File name -> text, for every file in options/ that is made from the table."""
    texts: dict[str, str] = {}
    for scale in SCALES:
        for method in (method for method in METHODS if scale in method.scales):
            texts[f"train_{method.name}_x{scale}.yml"] = _FOR_THE_EDITOR + training_file(method, scale)
        texts[f"test_{MIHATP.name}_x{scale}.yml"] = _FOR_THE_EDITOR + test_file(MIHATP, scale)
        texts[f"benchmark_x{scale}.yml"] = benchmark_file(METHODS, scale)
        texts[f"benchmark_x{scale}_own.yml"] = benchmark_file(METHODS, scale, own=True)
        texts[f"candidates_x{scale}.yml"] = candidates_file(scale)
    for name in NUCLEI:
        texts[f"train_HoVerNet_{name}.yml"] = _FOR_THE_EDITOR + nuclei_file(name)
    return texts


def main(folder: Path = FOLDER) -> None:
    """Write every file into `folder`."""
    for name, text in option_files().items():
        write_file(folder / name, text.encode())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
