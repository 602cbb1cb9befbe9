"""Drawing faces: 20 guided steps of DPM-Solver++ (2M), call by call and with the network's calls replayed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegen.autoencoders import load_autoencoder
from facegen.config.kinds import load_kind
from facegen.models.generator import FaceGenerator
from facegen.models.objective import objective_of
from facegen.protocols import Network as CallsLikeANetwork
from facegen.training.trainer import build_seeded
from facegen.types import Conditioning, LabelSchema, LatentScaling, SampleSpec
from gpu_stages.context import Context, finished
from gpu_stages.data import ATTRIBUTES, LARGE, SHAPE, SMALL, TINY, Network, recipe_of

STEPS = 20
GUIDANCE = 2.0
LABELS = LabelSchema(attributes=ATTRIBUTES)
Autocast = Callable[[], AbstractContextManager[Any]]


def sampling(context: Context) -> None:
    """Faces a second of both networks in TF32, as facegen draws, and in bf16; are graphs' faces the same?"""
    sizes = [(SMALL, 256), (LARGE, 64)]
    for network, count in [(TINY, 2)] if context.smoke else sizes:
        for name in ("fp32", "bf16"):
            part = f"{network.name}, {name}"
            context.part(part, lambda n=network, c=count, f=name: _both_ways(context, n, c, f), 10.0)


def _both_ways(context: Context, network: Network, count: int, name: str) -> dict[str, Any]:
    device = context.device

    def autocast() -> AbstractContextManager[Any]:
        # without a cache of cast weights, which a graph may not take from outside itself
        return (
            torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
            if name == "bf16"
            else nullcontext()
        )

    generator = untrained_generator(network, device)
    generator.network = InFormat(generator.network, autocast)
    steps = 2 if context.smoke else STEPS
    seconds, eager = drawn(generator, count, steps)
    told: dict[str, Any] = {"faces": count, "steps": steps, "eager_faces_per_second": count / seconds}
    if device.type != "cuda":
        return {**told, "graphs": {"skipped": "CUDA graphs need CUDA"}}
    seconds, graphed = drawn(generator, count, steps, graphs=True)
    apart = (graphed - eager).abs().max().item()
    graphs = {
        "faces_per_second": count / seconds,
        "equal": torch.equal(graphed, eager),
        "largest_difference": apart,
    }
    return {**told, "graphs": graphs}


def drawn(
    generator: FaceGenerator, count: int, steps: int, *, graphs: bool = False, repeats: int = 2
) -> tuple[float, Tensor]:
    """Seconds of drawing `count` latents, the fewer of `repeats` after one to warm up, and the latents.

    With `graphs` as `facegen sample` draws them; otherwise call by call, as who watches layers does.
    """
    inputs = torch.ones(count, len(ATTRIBUTES), dtype=torch.int8)
    settings = generator.sampling.model_copy(update={"steps": steps, "guidance_scale": GUIDANCE})

    def draw() -> Tensor:
        if graphs:
            steps_made = (
                step for _, step in generator.walks(inputs, range(count), settings, batch_size=count)
            )
        else:
            steps_made = generator.trajectory(inputs, range(count), settings)
        return torch.cat([step.x0 for step in steps_made if step.is_last])

    faces, seconds = draw(), []
    for _ in range(repeats):
        began = finished(generator.device)
        faces = draw()
        seconds.append(finished(generator.device) - began)
    return min(seconds), faces


def untrained_generator(network: Network, device: torch.device) -> FaceGenerator:
    """One whose weights are shaken, so that faces depend on all of them. Its autoencoder is never called."""
    recipe = recipe_of(network, latents=Path("none"))
    condition, denoiser = recipe.section("conditioner"), recipe.section("denoiser")

    def build() -> nn.ModuleDict:
        conditioner = load_kind("conditioners", condition.kind).build(condition, LABELS, SampleSpec(SHAPE))
        made = load_kind("denoisers", denoiser.kind).build(denoiser, SampleSpec(SHAPE), conditioner.spec)
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.02)
        return nn.ModuleDict({"denoiser": made, "conditioner": conditioner})

    return FaceGenerator(
        module=build_seeded(build, 0).to(device).eval(),
        objective=objective_of(recipe.diffusion),
        autoencoder=load_autoencoder("identity").module,
        scaling=LatentScaling((0.0,) * SHAPE[0], (1.0,) * SHAPE[0]),
        sample_spec=SampleSpec(SHAPE),
        image_size=8 * SHAPE[-1],
        sampling=recipe.sampling,
        labels=LABELS,
        device=device,
    )


class InFormat:
    """A network called within `autocast()`."""

    def __init__(self, network: CallsLikeANetwork, autocast: Autocast) -> None:
        self._network, self._autocast = network, autocast

    def __call__(self, x_t: Tensor, timestep: Tensor, conditioning: Conditioning) -> Tensor:
        with self._autocast():
            return self._network(x_t, timestep, conditioning)
