"""A cache key covers the code a feature depends on, and no other: one file of each floor is changed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from support.generator_parts import DIT, tiny_generator, tiny_recipe

from facegen.evaluation.features import drawing_modules
from facegen.models import feature_cache
from facegen.models.feature_cache import PACKAGE, code_fingerprint, modules_of
from facegen.samplers.dpmpp_2m import Config
from facegen.sampling.records import generated_batches

VOIDING = (
    "errors.py",
    "types.py",
    "protocols.py",
    "config/recipe.py",
    "vocabulary/lexicon.yaml",
    "diffusion/guidance.py",
    "nn/attention.py",
    "formats/images.py",
    "formats/checkpoint.py",
    "denoisers/dit.py",
    "samplers/dpmpp_2m.py",
    "models/generator.py",
    "models/fixed_rows.py",
    "models/feature_networks.py",
)
KEEPING = (
    "denoisers/unet.py",
    "config/presets/pixel-32.yaml",
    "samplers/euler.py",
    "datasets/celeba.py",
    "metrics/kid.py",
    "preparation/prepare.py",
    "encoding/encode.py",
    "training/trainer.py",
    "evaluation/attributes.py",
    "evaluation/compare.py",
    "plotting/curves.py",
    "report/words.py",
    "demo/demo.py",
    "studio/page.py",
    "cli/app.py",
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's source, to be changed."""
    folder = tmp_path_factory.mktemp("copy") / "facegen"
    return shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def drawing() -> set[str]:
    """What draws with a transformer on attributes: the modules that a key starts from."""
    generator = tiny_generator(tiny_recipe(denoiser=DIT))
    return drawing_modules(generator) | modules_of(generated_batches) | {feature_cache.__name__}


def changed(drawing: set[str], package: Path, file: str) -> bool:
    """Whether the key is another one once `file` has one more line."""
    path, before = package / file, code_fingerprint(drawing, package)
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "\n# changed\n", encoding="utf-8")
    try:
        return code_fingerprint(drawing, package) != before
    finally:
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("file", VOIDING)
def test_what_a_drawn_face_depends_on_makes_another_key(file: str, copy: Path, drawing: set[str]) -> None:
    assert changed(drawing, copy, file)


@pytest.mark.parametrize("file", KEEPING)
def test_what_it_does_not_depend_on_keeps_the_key(file: str, copy: Path, drawing: set[str]) -> None:
    assert not changed(drawing, copy, file)


def test_a_kind_from_elsewhere_counts_with_its_own_file(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "mylab_nets.py"
    file.write_text("class Net:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mylab_nets  # pyright: ignore[reportMissingImports]

    modules = modules_of(mylab_nets.Net(), Config())
    assert {"mylab_nets", "facegen.samplers.dpmpp_2m"} <= modules
    before = code_fingerprint(modules)
    file.write_text("class Net:\n    width = 2\n")
    assert code_fingerprint(modules) != before
    del sys.modules["mylab_nets"]


def test_libraries_are_left_to_their_versions() -> None:
    assert code_fingerprint(["torch", "json"]) == code_fingerprint([])
