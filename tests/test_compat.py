"""BasicSR is importable on today's stack, and its import does not wait for what it does not use."""

import importlib
import subprocess
import sys

import basicsr.train
import pytest

from mihatp_arch import compat


def test_importing_twice_changes_nothing():
    replaced = basicsr.train.load_resume_state
    importlib.reload(compat)
    assert basicsr.train.load_resume_state is replaced


def test_modules_that_are_put_off_are_imported_where_they_are_used():
    """In a process of its own: `sys.modules` of this one has them already."""
    code = (
        "import sys, mihatp_arch\n"
        "put_off = ('scipy.stats', 'torch._dynamo.utils', 'timm', 'kornia', 'diffusers', 'lpips')\n"
        "assert not set(put_off) & set(sys.modules), set(put_off) & set(sys.modules)\n"
        "import numpy as np, torch\n"
        "from basicsr.data.degradations import cdf2, mesh_grid\n"
        "grid = mesh_grid(3)[0]\n"
        "ours = cdf2(np.eye(2), grid)\n"
        "from scipy.stats import multivariate_normal\n"
        "assert type(multivariate_normal).__module__ == 'scipy.stats._multivariate'\n"
        "assert np.array_equal(ours, multivariate_normal([0, 0], [[1, 0], [0, 1]]).cdf(grid))\n"
        "from torchvision.ops import roi_align\n"
        "import torchvision.ops.roi_align, torch._dynamo.utils\n"
        "module = sys.modules['torchvision.ops.roi_align']\n"
        "assert module.is_compile_supported('cpu') == torch._dynamo.utils.is_compile_supported('cpu')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_another_name_of_a_module_that_is_put_off_imports_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with compat._put_off("colorsys", "rgb_to_hsv"):
        from colorsys import rgb_to_hls, rgb_to_hsv
    assert rgb_to_hls.__module__ == "colorsys" and sys.modules["colorsys"].rgb_to_hls is rgb_to_hls
    assert rgb_to_hsv(1, 0, 0) == (0, 1, 1)


def test_a_module_that_is_missing_is_still_missing_when_it_is_put_off():
    with compat._put_off("no_such_module_at_all", "name"):
        from no_such_module_at_all import name
    assert "no_such_module_at_all" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        name()
