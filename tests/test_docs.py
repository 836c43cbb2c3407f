"""README.md, CONTRIBUTING.md and docs/ say what is true: links, commands, option keys and option files in them."""

import ast
import doctest
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
import yaml

from mihatp_arch.config.check import check_run
from mihatp_arch.config.read import force, read_options
from mihatp_arch.evaluation.run.benchmark_file import BenchmarkFile
from mihatp_cli import basicsr, mihatp

_ROOT = Path(__file__).parents[1]
_OPTIONS = _ROOT / "options"
_PAGES = [
    *(_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted((_ROOT / "docs").glob("*.md")),
]
_PARSERS = {"basicsr": basicsr._parser, "mihatp": mihatp._parser}
_SECTIONS = "train|val|path|logger|datasets|network_g|network_c"
_KEY = re.compile(rf"(?<![\w.])((?:{_SECTIONS})(?::[a-z_][a-z_0-9]*)+)")
_MODELS = ("MiHATP", "HAT", "LDM", "ResShift", "VQF4gan", "he-light")  # one of them has each option

pages = pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.relative_to(_ROOT).as_posix())


def _blocks(page: Path) -> list[str]:
    """The code blocks of a page: fenced ones, and indented ones after an empty line."""
    text = re.sub(
        r"^```.*?\n(.*?)^```$", lambda found: _indented(found[1]), page.read_text(encoding="utf-8"), flags=re.M | re.S
    )
    return [dedent(block) for block in re.findall(r"(?:^|\n\n)((?: {4}.*(?:\n|$))(?:(?: {4}.*|)(?:\n|$))*)", text)]


def _indented(code: str) -> str:
    return "\n" + "".join(f"    {line}\n" for line in code.splitlines())


def _commands(page: Path) -> Iterator[list[str]]:
    """The words of every command line in the code blocks of a page."""
    for block in _blocks(page):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            simple = line.replace("$(which basicsr)", "basicsr")
            if re.match(r"(#|\w+:|@|<|\w+=\$|\}|- )", simple.strip()):
                continue  # YAML, BibTeX, headers of batch scripts
            for part in re.split(r"&&|;", simple):
                try:
                    words = shlex.split(part, comments=True)
                except ValueError:
                    continue
                if words:
                    yield words


def _own_command(words: list[str]) -> list[str]:
    """`mihatp …` or `basicsr …` in the words of a line, without the launcher before it."""
    launched = words[0] in ("torchrun", "srun")
    start = next((at for at, word in enumerate(words) if word in _PARSERS), None) if launched else 0
    return words[start:] if start is not None and words[start] in _PARSERS else []


def test_readme_is_short():
    assert len((_ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_page_is_in_the_index():
    index = (_ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (_ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index


@pages
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?:", target):
            continue
        name, _, heading = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{target}: there is no {file}"
        if heading:
            lines = file.read_text(encoding="utf-8").splitlines()
            headings = [
                re.sub(r"[^\w\- ]", "", line.lstrip("# ")).lower().replace(" ", "-")
                for line in lines
                if line[:1] == "#"
            ]
            assert heading in headings, f"{target}: there is no such heading"


@pages
def test_files_in_code_exist(page):
    folders = "mihatp_arch|mihatp_cli|mihatp_viewer|datasets_prep|options|tests|benchmarks|docs"
    for name in re.findall(rf"`((?:{folders})/[\w./]+)`", page.read_text("utf-8")):
        if name != "benchmarks/results/":  # git ignores it
            assert (_ROOT / name).exists(), f"there is no {name}"


@pages
def test_commands_can_be_run(page):
    for words in _commands(page):
        own = _own_command(words)
        if own:
            arguments = _PARSERS[own[0]]().parse_args(own[1:])
            for file in getattr(arguments, "opt", None) or ():
                assert (_OPTIONS / file).is_file() or file.name.startswith("my_"), f"{words}: there is no {file}"
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (_ROOT / "Makefile").read_text(), re.M), words


@pages
def test_python_in_code_blocks_is_valid(page):
    for code in re.findall(r"^( *)```python\n(.*?)^\1```", page.read_text(encoding="utf-8"), re.M | re.S):
        if not code[1].lstrip().startswith(">>>"):  # the examples that are run
            compile(dedent(code[1]), page.name, "exec", ast.PyCF_ONLY_AST)


@pages
def test_python_examples_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.failed == 0
    assert result.attempted > 15 or page.name != "upscale.md"


def test_some_commands_and_keys_were_found():
    assert sum(bool(_own_command(words)) for page in _PAGES for words in _commands(page)) > 30
    assert len({key for page in _PAGES for key in _keys(page)}) > 40


def _keys(page: Path) -> set[str]:
    return set(_KEY.findall(page.read_text(encoding="utf-8")))


def _base(model: str):
    return read_options([_OPTIONS / f"train_{model}_x4.yml"])


@cache
def _is_option(key: str, model: str) -> bool:
    """Whether the check of a training of `model` knows the key."""
    path = key.split(":")
    options = _base(model)
    if path[-1] in options.section(*path[:-1]):
        return True
    for depth in range(1, len(path)):
        if not isinstance(options.get(*path[:depth]), dict):
            return False
    force(options, [f"{key}=null"])
    return not any(f"'{path[-1]}' is not an option" in line for line in check_run(options, "train").mistakes)


@pages
def test_option_keys_exist(page):
    for key in sorted(_keys(page)):
        assert any(_is_option(key, model) for model in _MODELS), f"{key} is not an option"


@pages
def test_option_files_in_code_are_accepted(page, tmp_path):
    for block in _blocks(page):
        if not re.match(r"(name|datasets|network_g):", block):
            continue
        values = yaml.safe_load(block)
        if "methods" in values:
            msgspec.convert(values, BenchmarkFile)
            continue
        file = tmp_path / "overlay.yml"
        file.write_text(block, encoding="utf-8")
        options = read_options([_OPTIONS / "train_MiHATP_x4.yml", file])
        command = "test" if "val:\n  save_img" in block or "SingleImageDataset" in block else "train"
        mistakes = check_run(options, command).mistakes
        assert not [line for line in mistakes if "is not an option" in line or "datasets" not in line], mistakes
