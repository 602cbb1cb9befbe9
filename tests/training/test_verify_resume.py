"""`train --verify-resume`: exact on presets of every task, and not fooled by a task that hides its state."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_dataset import write_dataset
from support.training_parts import denoising_recipe, write_latents

from facegen.config.composition import compose
from facegen.progress import SilentProgress
from facegen.tasks.denoising import DenoisingTask
from facegen.training.verify_resume import Verdict, verify_resume


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset") / "faces").folder


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["avatars", "avatars-autoencoder", "avatars-classifier"])
def test_presets_resume_exactly_in_a_process_of_their_own(
    tmp_path: Path, latents: Path, dataset: Path, preset: str
) -> None:
    data = latents if preset == "avatars" else dataset
    (tmp_path / f".verify-resume.{socket.gethostname()}.99999999.tmp").mkdir()  # a killed command's
    overrides = [f"data.path={data}", "data.flip=false", "training.batch_size=4"]
    verdict = verify_resume(
        compose(preset, overrides=overrides, size="smoke"), tmp_path, SilentProgress(), "cpu"
    )
    assert (verdict.difference, verdict.refusal, verdict.tolerance) == (None, None, 0.0)
    assert verdict.compared > 20
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_task_that_keeps_a_state_of_its_own_is_found_out(
    tmp_path: Path, latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that resumes does not have the noise that only this one adds."""
    plain = DenoisingTask.batch

    def drifting(self: DenoisingTask, *given: Any) -> Any:
        batch = plain(self, *given)
        return {name: value + 0.5 if value.is_floating_point() else value for name, value in batch.items()}

    monkeypatch.setattr(DenoisingTask, "batch", drifting)
    verdict = verify_resume(denoising_recipe(latents), tmp_path, SilentProgress(), "cpu")
    assert verdict.difference is not None
    assert verdict.facts()["Resuming"] == "not exact"
    assert "Resuming is not exact here" in str(verdict.refusal)
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_may_differ_within_the_tolerance_it_tells() -> None:
    close = Verdict(6, 3, "cuda:0", 9, "weights w differs", 1e-5, 1e-3)
    assert close.refusal is None
    assert "within 0.001" in close.facts()["Resuming"]
    far = Verdict(6, 3, "cuda:0", 9, "weights w differs", 1e-2, 1e-3)
    assert far.refusal is not None


def test_differences_are_relative_and_shapes_count() -> None:
    from facegen.training.verify_resume import _apart

    assert _apart(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 4.0])) == 0
    assert _apart(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 4.0])) == 0.25
    assert _apart(torch.zeros(2), torch.zeros(3)) == float("inf")
    assert _apart(2.0, None) == float("inf")
