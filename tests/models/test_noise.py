"""Noise between two seeds: on the sphere, exact at the ends, through stochastic samplers too."""

from __future__ import annotations

import pytest
import torch
from support.generator_parts import tiny_generator

from facegen.models.noise import SeedBetween, noise_source, spherical
from facegen.types import PromptReading


def test_noise_between_two_seeds_keeps_its_length_and_does_not_leave_the_arc():
    a, b = (noise_source(seed, (3, 32, 32))() for seed in (1, 2))
    middle = spherical(a, b, 0.5)
    assert abs(float(middle.norm() / a.norm()) - 1) < 0.03
    similarity = torch.nn.functional.cosine_similarity
    assert similarity(middle.flatten(), a.flatten(), 0) == pytest.approx(
        float(similarity(middle.flatten(), b.flatten(), 0)), abs=0.03
    )


def test_the_arc_ends_exactly_at_its_seeds_and_equal_noise_stays_itself():
    a, b = torch.randn(4), torch.randn(4)
    assert torch.equal(spherical(a, b, 0.0), a)
    assert torch.equal(spherical(a, b, 1.0), b)
    torch.testing.assert_close(spherical(a, a, 0.3), a)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_face_at_either_end_is_that_seeds_face(sampler):
    generator = tiny_generator()
    settings = generator.sampling.model_copy(update={"sampler": {"kind": sampler}})
    inputs = generator.inputs_for(PromptReading({"Smiling": 1.0}), 3)
    between = [SeedBetween(5, 9, position) for position in (0.0, 0.5, 1.0)]
    walk = generator.generate(inputs, between, settings)
    alone = generator.generate(inputs[:2], [5, 9], settings)
    assert torch.equal(walk[0], alone[0])
    assert torch.equal(walk[2], alone[1])
    assert not torch.equal(walk[1], alone[0])


def test_a_trajectory_starts_from_the_noise_that_can_be_asked_for():
    generator = tiny_generator()
    expected = torch.randn((3, 16, 16), generator=torch.Generator().manual_seed(7))
    assert torch.equal(generator.noise([7])[0], expected)
