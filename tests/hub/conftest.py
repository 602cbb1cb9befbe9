"""A hub of our own, a run and a data set to send there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.generator_parts import save_run, tiny_recipe
from support.hub_server import HubServer, hub_server
from support.tiny_dataset import write_dataset

from facegen.formats.run import RunDirectory


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """An empty hub, at which this process is known as "me"; empty caches."""
    from huggingface_hub import constants

    with hub_server() as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield server


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that draws, trained on data that are named by a place on this machine."""
    run = save_run(tmp_path / "made")
    recipe = tiny_recipe(data={"path": str(tmp_path / "latents")})
    folder = RunDirectory(run)
    folder.start(recipe)
    folder.append_metrics({"step": 7, "group": "train", "loss": 0.5})
    (run / "tensorboard").mkdir()
    (run / "tensorboard" / "events").write_bytes(b"\0")
    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sixteen pictures whose terms nobody wrote down."""
    return write_dataset(tmp_path / "data").folder
