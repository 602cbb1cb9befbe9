"""Tables of a walk lead where the samplers themselves go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from facegen.config.kinds import KindConfig, kind_config, kinds_of, load_kind, outside_code_allowed
from facegen.config.recipe import DiffusionConfig, SamplingConfig
from facegen.diffusion.denoiser import Denoiser, Objective
from facegen.diffusion.guidance import clip, guide
from facegen.diffusion.paths import VarianceExploding
from facegen.errors import UsageError
from facegen.export.tables import walk_table, walked
from facegen.models.objective import objective_of
from facegen.types import UNCONDITIONAL

STEPS = 7


def objective(**diffusion: Any) -> Objective:
    return objective_of(DiffusionConfig(**diffusion))


OBJECTIVES = {
    "flow": objective(parameterisation="flow"),
    "eps": objective(parameterisation="eps"),
    "v": objective(parameterisation="v", schedule="scaled_linear"),
    "edm": Objective(VarianceExploding(), "edm", data_std=0.5),
}
SAMPLERS = [*({"kind": kind} for kind in kinds_of("samplers")), {"kind": "ddim", "eta": 0.7}]


def network(x: torch.Tensor, timestep: torch.Tensor, *_: Any) -> torch.Tensor:
    """Bends its input, so that nothing cancels."""
    return torch.tanh(1.3 * x) + 0.1 * torch.sin(timestep / 100)[:, None]


@pytest.mark.parametrize("asked", OBJECTIVES)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: "-".join(map(str, sampler.values())))
def test_every_sampler_ends_where_its_table_does(sampler: dict[str, Any], asked: str) -> None:
    for bound in (None, 1.0):
        settings = SamplingConfig(sampler=sampler, steps=STEPS, clip_x0=bound)
        generator = torch.Generator()

        def draw(*_: Any, generator: torch.Generator = generator) -> torch.Tensor:
            return torch.randn(2, 32, generator=generator)

        denoiser = guide(Denoiser.of(network, OBJECTIVES[asked]), UNCONDITIONAL, UNCONDITIONAL, 1.0)
        denoiser = denoiser if bound is None else clip(denoiser, bound)
        config = kind_config("samplers", sampler)
        generator.manual_seed(0)
        walk = load_kind("samplers", config.kind).build(config)(denoiser, STEPS)
        expected = [step.x0 for step in walk(draw(), draw)][-1]
        generator.manual_seed(0)
        found = walked(walk_table(OBJECTIVES[asked], settings, STEPS), network, draw, bound)
        torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def test_a_long_walk_remembers_no_more_than_a_short_one() -> None:
    for sampler, back in (("ddpm", 1), ("dpmpp_2m", 2), ("unipc", 3)):
        table = walk_table(OBJECTIVES["eps"], SamplingConfig(sampler={"kind": sampler}), 60)
        assert table["lookback"] == back
        assert max(len(call["x0"]) for call in table["calls"]) == back


def test_guidance_acts_within_its_interval_alone() -> None:
    settings = SamplingConfig(guidance_interval=(0.3, 0.7))
    calls = walk_table(OBJECTIVES["flow"], settings, 10)["calls"]
    assert [call["guided"] for call in calls] == [300 <= call["t"] <= 700 for call in calls]
    assert {call["guided"] for call in calls} == {True, False}


class Averaging:
    """A sampler from outside whose sample is no x0 of the network's."""

    class Config(KindConfig, frozen=True):
        kind: str

    @staticmethod
    def build(config: Any) -> Any:
        euler = load_kind("samplers", "euler").build(kind_config("samplers", {"kind": "euler"}))

        def make(denoiser: Any, steps: int) -> Any:
            def walk(noise: torch.Tensor, *_: Any) -> Any:
                for step in euler(denoiser, steps)(noise):
                    yield replace(step, x0=step.x0 / 2)

            return walk

        return make


def test_a_sampler_that_no_table_holds_is_refused() -> None:
    settings = SamplingConfig(sampler={"kind": f"{__name__}:Averaging"})
    with outside_code_allowed(), pytest.raises(UsageError, match="--to diffusers holds any"):
        walk_table(OBJECTIVES["flow"], settings, STEPS)
