"""The rules of the house that a program can see: floors of imports, sizes of folders, files and functions, notation."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mihatp_arch", "mihatp_cli", "mihatp_viewer", "datasets_prep")
FOLDERS = (*PACKAGES, "benchmarks", "tests")

# A module imports from its own floor and from those below it. The longest name that fits a module counts.
FLOORS = (
    {"datasets_prep.common"},
    {"mihatp_arch.compat", "mihatp_arch.errors", "mihatp_arch.file_hash"},
    {"mihatp_arch.transforms", "mihatp_arch.archs.layers", "mihatp_arch.archs.fast", "mihatp_arch.nuclei"},
    {
        "mihatp_arch.archs",
        "mihatp_arch.losses",
        "mihatp_arch.metrics",
        "mihatp_arch.checkpoints",
        "mihatp_arch.exported_options",
        "mihatp_arch.bundled_weights",
    },
    {"mihatp_arch.models", "mihatp_arch.training"},
    {"datasets_prep"},
    {"mihatp_viewer"},
    {"mihatp_arch.inference", "mihatp_arch.api", "mihatp_arch.nuclei.data"},
    {"mihatp_arch"},  # the package itself registers everything below
    {"mihatp_arch.config"},
    {"mihatp_arch.evaluation", "mihatp_arch.experiments"},
    {"mihatp_cli"},
    {"mihatp_arch.__main__"},
)
FLOOR_OF = {prefix: number for number, prefixes in enumerate(FLOORS) for prefix in prefixes}
NOT_FOR_DATA = {"torch", "torchvision", "basicsr", "mihatp_arch", "mihatp_cli"}
WITHOUT_NETWORKS = {"datasets_prep", "mihatp_viewer"}
OLD_SHAPES = re.compile(r"\bBx[0-9A-Z]|\bBxheads|[0-9A-Z]x\(I·J\)")
NAMES_OF_TEST_FOLDERS = {"cli": "mihatp_cli", "viewer": "mihatp_viewer"}


def name_of(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def packages(root: Path) -> dict[str, Path]:
    """Name of the module -> file, for every source file of the packages."""
    files = (file for package in PACKAGES for file in sorted((root / package).rglob("*.py")))
    return {name_of(file.relative_to(root)): file for file in files}


def sources(root: Path) -> list[Path]:
    return [file for folder in FOLDERS for file in sorted((root / folder).rglob("*.py"))]


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def nodes(root: Path) -> Iterator[tuple[str, ast.AST]]:
    """Every node of every source file, after the name of its file."""
    for file in sources(root):
        name = file.relative_to(root).as_posix()
        yield from ((name, node) for node in ast.walk(parsed(file)))


def imports(root: Path) -> Iterator[tuple[str, int, str]]:
    """Module, line and imported module, for imports at the top, in functions, and for type checking alone."""
    modules = packages(root)
    for module, file in modules.items():
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.Import):
                yield from ((module, node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                package = module.split(".")[: None if file.name == "__init__.py" else -1]
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                names = (f"{base}.{alias.name}" for alias in node.names)
                yield from ((module, node.lineno, name if name in modules else base) for name in names)


def floor(module: str) -> int:
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(FLOOR_OF[prefix] for prefix in prefixes if prefix in FLOOR_OF)


def arrows_upwards(root: Path) -> list[str]:
    arrows = (arrow for arrow in imports(root) if arrow[2].split(".")[0] in PACKAGES)
    return [f"{module}:{line} imports {other}" for module, line, other in arrows if floor(other) > floor(module)]


def import_circles(root: Path) -> list[str]:
    graph: dict[str, set[str]] = {module: set() for module in packages(root)}
    for module, _, other in imports(root):
        if other in graph and other != module:
            graph[module].add(other)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def networks_without_need(root: Path) -> list[str]:
    return [
        f"{module}:{line} imports {other}"
        for module, line, other in imports(root)
        if module.split(".")[0] in WITHOUT_NETWORKS and other.split(".")[0] in NOT_FOR_DATA
    ]


def full_folders(root: Path) -> list[str]:
    files = Counter(file.parent.relative_to(root).as_posix() for file in sources(root) if file.name != "__init__.py")
    return [f"{folder} has {number} source files" for folder, number in files.items() if number > 16]


def long_files(root: Path) -> list[str]:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sources(root)}
    return [f"{file.relative_to(root)} has {length} lines" for file, length in lengths.items() if length > 250]


def long_functions(root: Path) -> list[str]:
    return [
        f"{name}:{node.lineno} {node.name} is too long"
        for name, node in nodes(root)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]


def star_imports(root: Path) -> list[str]:
    found = ((name, node) for name, node in nodes(root) if isinstance(node, ast.ImportFrom))
    return [f"{name}:{node.lineno}" for name, node in found if any(alias.name == "*" for alias in node.names)]


def vague_names(root: Path) -> list[str]:
    """Names that do not say what a thing is."""
    named = (
        (name, node, getattr(node, "arg", None) or getattr(node, "id", None) or getattr(node, "name", None))
        for name, node in nodes(root)
        if isinstance(node, (ast.arg, ast.FunctionDef, ast.ClassDef))
        or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    )
    vague = {"some", "one", "found", "what", "place", "work"}
    product = ("mihatp_", "datasets_prep")
    return [f"{name}:{node.lineno} {word}" for name, node, word in named if word in vague and name.startswith(product)]


def swallowed_errors(root: Path) -> list[str]:
    """A broad `except` without a `raise`."""
    broad = {"Exception", "BaseException"}
    return [
        f"{name}:{node.lineno}"
        for name, node in nodes(root)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in broad))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]


def swallowed_options(root: Path) -> list[str]:
    """A network whose constructor takes any keyword."""
    return [
        f"{name}:{node.lineno} **{node.args.kwarg.arg}"
        for name, node in nodes(root)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__" and node.args.kwarg and "/archs/" in name
        if not name.startswith("tests/")
    ]


def old_shapes(root: Path) -> list[str]:
    """Shapes that are not written [B, C, H, W]."""
    lines = (
        (file.relative_to(root), number, line)
        for file in sources(root)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    )
    return [f"{file}:{number}: {line.strip()}" for file, number, line in lines if OLD_SHAPES.search(line)]


def unmatched_test_folders(root: Path) -> list[str]:
    """Folders of tests that no folder of the project stands for."""
    folders = {file.parent.relative_to(root / "tests") for file in (root / "tests").rglob("test_*.py")}
    named = {folder: Path(*(NAMES_OF_TEST_FOLDERS.get(part, part) for part in folder.parts)) for folder in folders}
    return [
        f"tests/{folder}"
        for folder, name in sorted(named.items())
        if not any((root / above / name).is_dir() for above in ("", "mihatp_arch"))
    ]


RULES: Mapping[Callable[[Path], list[str]], Mapping[str, str]] = {  # and a tree that breaks each of them
    arrows_upwards: {
        "mihatp_arch/losses/a.py": "def f():\n    import mihatp_arch.models.b",
        "mihatp_arch/models/b.py": "",
    },
    import_circles: {"datasets_prep/a.py": "from . import b", "datasets_prep/b.py": "def f():\n    from .a import f"},
    networks_without_need: {"datasets_prep/a/b.py": "def f():\n    import torch.nn"},
    full_folders: {f"mihatp_cli/file{number}.py": "" for number in range(17)},
    long_files: {"benchmarks/a.py": "1\n" * 251},
    long_functions: {"mihatp_cli/a.py": "def f():\n" + "    1\n" * 60},
    star_imports: {"tests/test_a.py": "from b import *"},
    vague_names: {"mihatp_cli/a.py": "def f(what):\n    return what"},
    swallowed_errors: {"mihatp_cli/a.py": "try:\n    1\nexcept Exception:\n    pass"},
    swallowed_options: {"mihatp_arch/archs/a.py": "class A:\n    def __init__(self, **more): ..."},
    old_shapes: {"mihatp_arch/a.py": '"""' + "Bx" + 'CxHxW"""'},
    unmatched_test_folders: {"tests/b/test_a.py": "", "mihatp_arch/a/b.py": ""},
}


def test_the_guide_lists_the_floors():
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\d+\. ((?:`[\w.]+`,\s+)*`[\w.]+`)", guide, re.MULTILINE)
    floors = tuple(set(re.findall(r"[\w.]+", line)) for line in lines)
    assert floors == FLOORS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_has_no(rule):
    assert rule(ROOT) == []


@pytest.mark.parametrize(("rule", "tree"), RULES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_rule_is_seen(rule, tree, tmp_path):
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(rule(tmp_path)) == 1
    assert [other.__name__ for other in RULES if other is not rule and other(tmp_path)] == []
