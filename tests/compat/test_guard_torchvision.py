"""torchvision's three situations, each in a process of its own: sys.modules cannot be undone in one."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

BROKEN = """
import torch
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold): return dets
@torch.library.register_fake("torchvision::qnms")
def qnms(dets, scores, iou_threshold): return dets
from torchvision import transforms
"""


def run(code: str, path: Path | None = None) -> str:
    prelude = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fake_torchvision(folder: Path, body: str) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(body)
    (package / "transforms.py").write_text("")
    return folder


def test_a_torchvision_without_its_operators_is_mended(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, BROKEN)
    broken = "try:\n    import torchvision\nexcept RuntimeError as error: print(error)\n"
    assert "torchvision::nms does not exist" in run(broken, path)
    mended = (
        "from facegen.compat import guard_torchvision\nguard_torchvision(); guard_torchvision()\n"
        "import torchvision; print(torchvision.transforms.__name__)"
    )
    assert run(mended, path) == "torchvision.transforms"


def test_leftovers_of_an_import_that_failed_earlier_do_not_disturb(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, "from torchvision import once\nassert once.first()\n" + BROKEN)
    once = "calls = []\ndef first():\n    calls.append(1)\n    return len(calls) == 1\n"
    (path / "torchvision" / "once.py").write_text(once)
    code = (
        "try:\n    import torchvision\nexcept RuntimeError: pass\n"
        "from facegen.compat import guard_torchvision\nguard_torchvision()\n"
        "import torchvision; print('whole')"
    )
    assert run(code, path) == "whole"


def test_a_healthy_torchvision_is_left_alone(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, "import torch\nmark = object()\n")
    code = (
        "import torch, torchvision; before = torchvision.mark\n"
        "from facegen.compat import guard_torchvision\nguard_torchvision()\n"
        "import torchvision; print(torchvision.mark is before, hasattr(torch.ops.torchvision, 'nms'))"
    )
    assert run(code, path) == "True False"


def test_another_failure_of_torchvision_is_not_hidden(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, "raise RuntimeError('something else')\n")
    code = (
        "from facegen.compat import guard_torchvision\n"
        "try:\n    guard_torchvision()\nexcept RuntimeError as error: print(error)"
    )
    assert run(code, path) == "something else"


def test_without_torchvision_nothing_is_imported() -> None:
    code = (
        "import sys, importlib.util as util, facegen.compat as compat\n"
        "compat.find_spec = lambda name: None\n"
        "compat.guard_torchvision(); print('torch' in sys.modules)"
    )
    assert run(code) == "False"


def test_diffusers_and_transformers_import_beside_the_installed_torchvision() -> None:
    try:
        version("torchvision")
    except PackageNotFoundError:
        pytest.skip("torchvision is not installed")
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from facegen.compat import guard_torchvision\nguard_torchvision()\n"
        "import torchvision\nfrom diffusers import AutoencoderKL\nfrom transformers import CLIPTextModel\n"
        "print('imported')"
    )
    assert run(code).endswith("imported")
