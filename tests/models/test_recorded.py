"""Networks that are recorded and replayed; the recorder here calls again what it was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.training_parts import denoising_recipe, write_latents
from torch import Tensor

from facegen.models import recorded
from facegen.models.loading import load
from facegen.models.recorded import CALLS_BEFORE, RecordedNetwork
from facegen.training.train import train
from facegen.types import Conditioning


class Recorder:
    """Stands for CUDA graphs: replaying calls again, and writes into one place."""

    def __init__(self, error: float = 0.0) -> None:
        self.recorded, self.replayed, self.error = 0, 0, error

    def __call__(self, call: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recorded += 1
        output = call().clone()

        def replay() -> None:
            self.replayed += 1
            output.copy_(call() + self.error)

        return replay, output


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    stands = Recorder()
    monkeypatch.setattr(recorded, "record", stands)
    monkeypatch.setattr(recorded, "RECORDABLE", ("cpu",))
    return stands


def network(x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
    assert conditioning.vector is not None
    shown = x_t if conditioning.token_mask is None else x_t * conditioning.token_mask.any()
    return shown * timestep[:, None] + conditioning.vector


def given(seed: int, rows: int = 3, *, mask: bool = False) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(seed)
    x_t, vector = torch.randn(2, rows, 4, generator=generator)
    tokens = torch.ones(rows, 2, 4) if mask else None
    token_mask = torch.ones(rows, 2, dtype=torch.bool) if mask else None
    return x_t, torch.rand(rows, generator=generator), Conditioning(vector, tokens, token_mask)


@pytest.mark.parametrize("mask", [False, True])
def test_replayed_calls_give_what_the_network_gives(recorder: Recorder, mask: bool) -> None:
    replaying = RecordedNetwork(network)
    outputs = [replaying(*given(seed, mask=mask)) for seed in range(20)]
    assert recorder.recorded == 1
    assert recorder.replayed == 1 + 20 - CALLS_BEFORE + 1  # the first is compared
    for seed, output in enumerate(outputs):  # each kept, though all were written to one place
        assert torch.equal(output, network(*given(seed, mask=mask)))


def test_every_shape_is_recorded_on_its_own_and_few_calls_are_not(recorder: Recorder) -> None:
    replaying = RecordedNetwork(network)
    for seed in range(CALLS_BEFORE - 1):
        replaying(*given(seed, rows=2))
        replaying(*given(seed, rows=5))
    assert recorder.recorded == 0
    assert torch.equal(replaying(*given(99, rows=5)), network(*given(99, rows=5)))
    assert recorder.recorded == 1


def test_a_recording_that_gives_other_numbers_is_not_used(recorder: Recorder) -> None:
    recorder.error = 1e-6
    replaying = RecordedNetwork(network)
    assert all(torch.equal(replaying(*given(seed)), network(*given(seed))) for seed in range(20))
    assert recorder.replayed == 1


def test_what_cannot_be_recorded_is_called(monkeypatch: pytest.MonkeyPatch, recorder: Recorder) -> None:
    def fail(call: Callable[[], Tensor]) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(recorded, "record", fail)
    replaying = RecordedNetwork(network)
    assert all(torch.equal(replaying(*given(seed)), network(*given(seed))) for seed in range(20))


def test_a_generator_draws_the_same_faces_replayed_and_in_training_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(denoising_recipe(write_latents(tmp_path / "tiny"), max_steps=2), tmp_path / "run", device="cpu")
    drawn = []
    stands = Recorder()
    monkeypatch.setattr(recorded, "record", stands)
    for kinds in ((), ("cpu",)):
        monkeypatch.setattr(recorded, "RECORDABLE", kinds)
        generator = load(tmp_path / "run", "cpu")
        inputs = generator.conditioner.null_inputs(12)
        drawn.append(generator.generate(inputs, range(12), generator.sampling))
    assert stands.replayed > 10
    assert torch.equal(drawn[0], drawn[1])
