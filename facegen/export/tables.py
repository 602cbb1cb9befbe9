"""A sampler's walk as a table of numbers, for who walks without facegen's code.

Every sampler's state is a sum of what came before: of the noise drawn, and of the x0 that each call of the
network gave. So the sampler itself is walked once with unit vectors in their place, and what it would have
shown the network is read off as weights.

Letters: K calls of the network; D terms of a sum: each call's x0 and each noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facegen.config.kinds import kind_config, load_kind
from facegen.config.recipe import SamplingConfig
from facegen.diffusion.denoiser import Objective
from facegen.diffusion.paths import Path
from facegen.errors import UsageError
from facegen.types import Prediction

CALLS_PER_STEP = 2  # of the network, at most: Heun's
NEGLIGIBLE = 1e-10  # of a row's largest weight; what float64 leaves of a difference that is none
Table = dict[str, Any]


def walk_table(objective: Objective, settings: SamplingConfig, steps: int) -> Table:
    """The walk of `settings` in so many steps, as JSON: "calls", "lookback", and "end", the call whose x0 is
    the sample. A call has

        t        timestep, as the network is told it
        keep     how much of the state of the call before (0 in the first)
        x0       [[calls before it, weight], ...]
        noise    how much of the next noise; 0: none is drawn
        in       what the network sees is the state times this
        x, out   its output means x0 = x * state + out * output, to be clipped where the settings say so
        guided   whether guidance acts there

    `lookback` is how many calls back the farthest x0 is.

    Raises:
        UsageError: more steps than timesteps, or a sampler that does not walk by such sums.
    """
    config = kind_config("samplers", settings.sampler)
    probe = _Probe(objective.path, CALLS_PER_STEP * steps)
    with torch.no_grad():
        sampler = load_kind("samplers", config.kind).build(config)(probe, steps)
        walked = list(sampler(probe.noise(), probe.noise))
    calls = [_call(objective, settings, timestep) for timestep, _ in probe.seen]
    drawn = before = 0
    for index, call in enumerate(calls):
        call |= _from_before(probe, index, drawn)
        drawn += bool(call["noise"])
        before = max([before, *(back for back, _ in call["x0"])])
    end = int(walked[-1].x0[0].argmax())
    if drawn != probe.drawn or not torch.equal(walked[-1].x0, probe.x0(end)):
        raise _refused()
    return {"calls": calls, "lookback": before, "end": end}


def walked(
    table: Table,
    network: Callable[[Tensor, Tensor, bool], Tensor],
    draw: Callable[[], Tensor],
    clip: float | None,
) -> Tensor:
    """x0 (B, *S) at the end of a `table`, with `network(x, timestep, guided)` and `draw()` for noise: how
    tables are to be walked."""
    x: Tensor = torch.zeros(())
    found: list[Tensor] = []
    for call in table["calls"]:
        x = call["keep"] * x + sum((weight * found[-back] for back, weight in call["x0"]), torch.zeros(()))
        if call["noise"]:
            x = x + call["noise"] * draw()
        timestep = torch.full((len(x),), call["t"])
        x0 = call["x"] * x + call["out"] * network(call["in"] * x, timestep, call["guided"])
        found.append(x0 if clip is None else x0.clamp(-clip, clip))
    return found[table["end"]]


@dataclass
class _Probe:
    """A `BoundDenoiser` on sums instead of states: rows (1, D) of weights, one column for each term."""

    path: Path
    most: int  # calls
    seen: list[tuple[float, Tensor]] = field(default_factory=list)
    drawn: int = 0

    def __call__(self, x_t: Tensor, timestep: Tensor) -> Prediction:
        if len(self.seen) == self.most:
            raise _refused()
        self.seen.append((float(timestep[0]), x_t[0].clone()))
        x0 = self.x0(len(self.seen) - 1)
        return Prediction(x0=x0, eps=self.path.eps_of(x0, x_t, timestep))

    def x0(self, call: int) -> Tensor:
        return self._unit(call)

    def noise(self, *_: Any) -> Tensor:
        """The next noise; samplers ask for it with the step and the state."""
        self.drawn += 1
        return self._unit(self.most + self.drawn - 1)

    def _unit(self, column: int) -> Tensor:
        row = torch.zeros(1, 2 * self.most + 1, dtype=torch.float64)
        row[0, column] = 1
        return row


def _call(objective: Objective, settings: SamplingConfig, timestep: float) -> dict[str, Any]:
    """What a call is at its timestep, in the float32 that facegen reads outputs with."""
    time = torch.tensor([timestep], dtype=torch.float32)
    one, none = torch.ones(1, 1), torch.zeros(1, 1)
    low, high = settings.guidance_interval
    return {
        "t": float(time),
        "in": float(objective.network_input(one, time)),
        "x": float(objective.prediction(none, one, time).x0),
        "out": float(objective.prediction(one, none, time).x0),
        "guided": bool(low <= objective.path.noise_level(time) <= high),
    }


def _from_before(probe: _Probe, index: int, drawn: int) -> dict[str, Any]:
    """The state of a call by the state before it, the x0 since and the next noise.

    Each noise enters one state and is in later ones only with it: its share says how much of the state is
    left. The greatest share is asked.
    """
    row, start = probe.seen[index][1], probe.most
    keep = 0.0
    if index:
        last = probe.seen[index - 1][1]
        asked = start + int(last[start:].abs().argmax())
        keep = float(row[asked] / last[asked]) if last[asked] else 0.0
        row = row - keep * last
    largest = float(probe.seen[index][1].abs().max())
    weights = {int(column): float(row[column]) for column in (row.abs() > NEGLIGIBLE * largest).nonzero()}
    noise = weights.pop(start + drawn, 0.0)
    if any(column >= start for column in weights):
        raise _refused()
    return {"keep": keep, "x0": [[index - call, weight] for call, weight in weights.items()], "noise": noise}


def _refused() -> UsageError:
    return UsageError(
        "The sampler of this model does not walk by sums of what came before, so a page cannot hold it.",
        hint="All of facegen's own samplers do; --to diffusers holds any.",
    )
