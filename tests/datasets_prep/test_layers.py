"""The imports of datasets_prep: no circle, arrows only point to lower floors, no torch, and a fast command line."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import datasets_prep

FOLDER = Path(datasets_prep.__file__).parent
FLOORS = {  # a module imports only from lower floors, or from its own folder
    "common": 0,
    "signatures": 1,
    "synthetic": 2,
    "synthetic_slide": 3,
    "slides": 2,
    "tissue": 2,
    "source_table": 3,
    "coordinates": 3,
    "patches": 4,
    "dataset": 5,
    "check": 6,
    "provenance": 5,
    "arguments": 6,
    "prepare": 6,
    "dry_run": 7,
    "command": 8,
    "demo": 7,
    "build": 9,
}


def imports():
    """Module -> the names that it imports anywhere in its code; names inside modules are included."""
    found = {}
    for path in sorted(FOLDER.rglob("*.py")):
        parts = path.relative_to(FOLDER.parent).with_suffix("").parts
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        found[".".join(parts).removesuffix(".__init__")] = names
    return found


def test_there_is_no_import_circle():
    modules = imports()
    graph = {name: {other for other in names if other in modules} for name, names in modules.items()}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert set(order) == set(modules) and len(modules) > 50


def test_arrows_point_to_lower_floors():
    for name, names in imports().items():
        if name == "datasets_prep":
            continue
        own = name.split(".")[1]
        for other in names:
            if other.startswith("datasets_prep."):
                folder = other.split(".")[1]
                assert folder == own or FLOORS[folder] < FLOORS[own], f"{name} imports {other}"


def test_nothing_of_networks_is_imported():
    for name, names in imports().items():
        packages = {other.split(".")[0] for other in names}
        assert packages.isdisjoint({"torch", "torchvision", "basicsr", "mihatp_arch", "mihatp_cli"}), name


def loaded(code):
    """Names of the modules that are loaded after `code` has run in a new process."""
    code = f"import sys; {code}; print('modules', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rsplit("modules ", 1)[1].split())


def test_help_of_the_command_is_light():
    heavy = {"numpy", "cv2", "openslide", "tifffile", "skimage", "matplotlib", "lmdb", "PIL", "torch"}
    for argument in ("--help", "--no-such-option"):
        code = f"from datasets_prep.command import main\ntry: main([{argument!r}])\nexcept SystemExit: pass\nimport sys"
        modules = loaded(f"exec({code!r})")
        assert "datasets_prep.command" in modules and modules.isdisjoint(heavy)


def test_checking_a_data_set_needs_no_torch():
    modules = loaded("import datasets_prep.check.check, datasets_prep.prepare, datasets_prep.demo")
    assert "cv2" in modules and modules.isdisjoint({"torch", "basicsr", "mihatp_arch"})
