"""What "auto" compares images through is decided once, said where it is random, and kept in the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_dataset import write_dataset

from facegen.config.composition import compose
from facegen.progress import SilentProgress
from facegen.training.wiring import wire_task


@pytest.mark.parametrize(("missing", "network"), [([], "efficientnet-lite0"), (["one"], "random_vgg16")])
def test_auto_is_named_in_the_run_and_told_where_it_is_random(
    missing: list[str], network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facegen.models.perceptual.missing_packages", lambda: missing)
    data = f"data.path={write_dataset(tmp_path / 'faces').folder}"
    recipe = compose("vae-gan", overrides=[data, "autoencoder.image_size=16", "autoencoder.widths=[8,8]"])
    progress = SilentProgress()
    wired = wire_task(recipe, progress)
    assert wired.recipe.task["perceptual"]["network"] == network
    told = [line for line in progress.warned if "facegen[imagenet]" in line]
    assert bool(told) == bool(missing)
    assert wire_task(wired.recipe).recipe == wired.recipe
