"""A task from outside the package is wired by what it says it is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_dataset import write_dataset

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import ALLOW_OUTSIDE_CODE
from facegen.config.recipe import parse_recipe
from facegen.errors import UsageError
from facegen.training.train import train

MODULE = """
from facegen.tasks import autoencoding

class Task:
    TRAINS_ON = "images"
    class Config(autoencoding.Config):
        kind: str
    @staticmethod
    def build(config, images):
        return autoencoding.AutoencodingTask(config, images)

class Silent(Task):
    TRAINS_ON = "nothing"
"""


def test_a_task_from_outside_is_trained_and_its_autoencoder_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside_task.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ALLOW_OUTSIDE_CODE, "1")
    dataset = write_dataset(tmp_path / "data")
    sections = {
        "autoencoder": {"kind": "compact", "latent_channels": 4},
        "data": {"path": str(dataset.folder)},
        "training": {"max_steps": 2, "batch_size": 4, "preview_every_steps": 2},
    }
    train(parse_recipe({"task": {"kind": "outside_task:Task"}, **sections}), tmp_path / "run", device="cpu")
    assert (tmp_path / "run" / "samples" / "step-00000002.png").is_file()
    assert load_autoencoder(tmp_path / "run").kind == "compact"
    with pytest.raises(UsageError, match="cannot wire the task"):
        train(
            parse_recipe({"task": {"kind": "outside_task:Silent"}, **sections}), tmp_path / "no", device="cpu"
        )
