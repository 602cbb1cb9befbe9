"""Drawing faces with the model in the box: 20 guided steps of DPM-Solver++ (2M), and decoding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from facegen.bench.result import StageResult
from facegen.bench.targets import cost_ratio, finding, rate_ratio
from facegen.bench.timing import Bench, Subject
from facegen.compat import guard_torchvision
from facegen.formats.box import opened_box
from facegen.models.fixed_rows import FixedRowsNetwork, rows_for
from facegen.models.generator import FaceGenerator, sampling_with
from facegen.models.loading import load
from facegen.protocols import Network
from facegen.types import Conditioning

STEPS, GUIDANCE, INTERVAL = 20, 4.0, (0.3, 0.7)
OURS = "facegen"
PARTLY = "facegen, guided at 40 % of the levels"
PLAIN = "facegen, without guidance"
PEER = "a pipeline of diffusers, two conditions in one batch"
CALLS, FIXED, DECODING = (
    "bare network calls and decoding",
    "the same in facegen's fixed rows",
    "decoding alone",
)
DDPM_STEPS = 1000


def measure(bench: Bench) -> StageResult:
    """All faces in one batch. A pipeline of 1,000 DDPM steps is reckoned from one of 20."""
    steps, faces = bench.size(STEPS, 2), bench.size(32, 4)
    generator = load(opened_box())
    inputs = generator.inputs_for(generator.read("a smiling woman with glasses"), faces)
    guided = sampling_with(generator.sampling, {"steps": steps, "guidance_scale": GUIDANCE})
    part = guided.model_copy(update={"guidance_interval": INTERVAL})
    plain = guided.model_copy(update={"guidance_scale": 1.0})

    def ours(settings: Any) -> Callable[[], Tensor]:
        return lambda: generator.generate(inputs, range(faces), settings, batch_size=faces)

    bare = _Bare(generator, inputs, steps)
    ways = bench.interleaved(
        Subject(OURS, "facegen", ours(guided), faces, "face"),
        Subject(PARTLY, "facegen", ours(part), faces, "face"),
        Subject(PLAIN, "facegen", ours(plain), faces, "face"),
        Subject(PEER, "peer", bare.pipeline, faces, "face"),
        Subject(CALLS, "limit", bare.calls, faces, "face"),
        Subject(FIXED, "limit", bare.fixed_rows, faces, "face"),
        Subject(DECODING, "limit", bare.decode, faces, "face"),
    )
    decoding = ways[DECODING]
    ddpm, ddpm_cpu = (
        [
            (d + (p - d) * DDPM_STEPS / steps) / o
            for o, p, d in zip(
                getattr(ways[OURS], c), getattr(ways[PEER], c), getattr(decoding, c), strict=True
            )
        ]
        for c in ("seconds", "cpu_seconds")
    )
    findings = (
        rate_ratio("sample/calls", "of bare calls and decoding", ways[OURS], ways[CALLS]),
        rate_ratio("sample/fixed", "of the same in fixed rows", ways[OURS], ways[FIXED]),
        rate_ratio("sample/peer", "times diffusers' rate at the same steps", ways[OURS], ways[PEER]),
        finding("sample/ddpm", "times 1,000 steps of DDPM, reckoned", ddpm, cpu_values=ddpm_cpu),
        cost_ratio(
            "sample/interval", "guided at 40 % of the levels, cost of guided", ways[PARTLY], ways[OURS]
        ),
        cost_ratio("sample/decoding", "decoding, of the whole", decoding, ways[OURS]),
    )
    sizes = {"faces": faces, "steps": steps, "guidance": GUIDANCE, "pixels": generator.image_size}
    return StageResult("sample", sizes, tuple(ways.values()), findings)


class _Bare:
    """The generator's network and autoencoder, called by hand."""

    def __init__(self, generator: FaceGenerator, inputs: Tensor, steps: int) -> None:
        guard_torchvision()
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

        self._generator, self._steps, self._faces = generator, steps, len(inputs)
        null = generator.conditioner.null_inputs(self._faces)
        self._told, self._null = generator.conditioning(inputs), generator.conditioning(null)
        self._both = Conditioning.cat([self._null, self._told])
        self._noise = generator.noise(range(self._faces))
        rows = rows_for(self._noise.shape[1:], self._noise.device)
        self._in_rows = FixedRowsNetwork(generator.network, rows, side_by_side=True)
        self._scheduler: Any = DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, solver_order=2
        )

    @torch.inference_mode()
    def calls(self) -> None:
        """As many calls of the network as guided steps make, and one of the decoder."""
        self._calls(self._generator.network)
        self._decode(self._noise)

    @torch.inference_mode()
    def fixed_rows(self) -> None:
        """The same, with as many rows a call as facegen always takes, and as many calls beside each other."""
        self._calls(self._in_rows)
        self._generator.decode(self._noise)

    def _calls(self, network: Network) -> None:
        time = torch.full((self._faces,), 500.0, device=self._generator.device)
        for _ in range(self._steps):
            for told in (self._told, self._null):
                network(self._noise, time, told)

    @torch.inference_mode()
    def decode(self) -> None:
        self._decode(self._noise)

    def _decode(self, x0: Tensor) -> Tensor:
        generator = self._generator
        return generator.autoencoder.decode(generator.scaling.invert(x0)).cpu()

    @torch.inference_mode()
    def pipeline(self) -> Tensor:
        """The loop of a pipeline of diffusers: two conditions in a batch of twice as many, every step."""
        self._scheduler.set_timesteps(self._steps, device=self._noise.device)
        x = self._noise
        for timestep in self._scheduler.timesteps:
            time = timestep.float().expand(2 * self._faces)
            null, told = self._generator.network(torch.cat([x, x]), time, self._both).chunk(2)
            x = self._scheduler.step(null + GUIDANCE * (told - null), timestep, x).prev_sample
        return self._decode(x)
