"""Training a denoiser to draw in a few calls: from a state of a teacher's walk straight to a later one.

Between two states of a deterministic walk lies the average velocity u = (x_t - x_s) / (t - s) (Geng et al.
2025, arXiv:2505.13447). A network that knows it goes there in one Euler step; walks of n = 1, 2, 4, 8, 16
even steps are learned together, and a learned vector for n says which is meant (as Frans et al. 2024,
arXiv:2410.12557, tell the length of a shortcut). The states are those of a trained teacher's own guided walk
(Luhman & Luhman 2021, arXiv:2101.02388, for n = 1), so that a call is one pass of the network, guidance
included, and no error of the student enters what it learns from.

Letters: B walks of a batch, P pairs of states of each, *S sample shape, N steps of the teacher, D condition
vector.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from facegen.config.kinds import KindConfig, load_kind
from facegen.diffusion.denoiser import Denoiser
from facegen.diffusion.guidance import guide
from facegen.diffusion.walk import Sampler
from facegen.draws import Draws
from facegen.errors import DataError, UsageError
from facegen.nn.strides import CALLS, MOST_CALLS, STRIDE, Strides
from facegen.placing import placed
from facegen.protocols import Batch
from facegen.tasks import denoising
from facegen.tasks.denoising import VALIDATION_BATCH, DenoisingTask
from facegen.types import Conditioning

TRAINS_ON = "samples"
PAIRS_PER_WALK = 8  # a pair costs three passes, the walk that it is taken from forty


class Config(KindConfig, frozen=True):
    """`teacher` is a run whose network the recipe repeats; it walks as its own `sampling` says, in
    `teacher_steps`.

    `teacher_sha256` is that of its weights, filled in when the run starts.
    """

    kind: Literal["few_step"] = "few_step"
    teacher: str | None = None
    """Folder of the run that teaches."""
    teacher_sha256: str | None = None
    """Sum of its weights; filled in."""
    teacher_steps: int = Field(default=MOST_CALLS, ge=MOST_CALLS, multiple_of=MOST_CALLS)
    """Steps of its walks."""
    validation_examples: int = Field(default=64, ge=2)
    """Held-out examples that are measured."""


Walk = Callable[[Denoiser, Conditioning, Conditioning, int, tuple[Denoiser, Conditioning] | None], Sampler]
"""Makes the teacher's sampler from its denoiser, condition and null condition, of so many steps, and from the
weak denoiser that autoguidance leads away from with its condition, where there is one."""


class FewStepTask(DenoisingTask):
    """`TrainingTask` whose module is `ModuleDict(denoiser, conditioner, stride)`, begun as its `teacher`.

    A batch of B examples is B walks, for their labels and from noise of their own; the examples themselves
    are not looked at. `teacher` are its weights, `weak` those that its autoguidance leads away from, `walk`
    is how it draws.

    Raises:
        UsageError: weights of another network, an objective other than flow, a conditioner without a vector.
        DataError: fewer than two held-out examples.
    """

    def __init__(
        self,
        config: Config,
        *,
        teacher: Mapping[str, Tensor],
        walk: Walk,
        weak: Mapping[str, Tensor] | None = None,
        **wired: Any,
    ) -> None:
        self._config, self._walk_of = config, walk
        super().__init__(denoising.Config(validation_examples=config.validation_examples), **wired)
        if self._objective.predicts != "flow":
            raise UsageError(
                "Task 'few_step' learns velocities, of diffusion.parameterisation 'flow' alone.",
                hint="Train the teacher with --set diffusion.parameterisation=flow.",
            )
        if self._conditioner.spec.vector_dim is None:
            raise UsageError("Task 'few_step' needs a conditioner with a vector, to tell the stride by.")
        if len(self._validation["noise"]) < 2:
            raise DataError("Task 'few_step' compares the ends of walks: two held-out examples are needed.")
        self._teacher = self._frozen(teacher)
        self._weak = None if weak is None else self._frozen(weak)

    def _frozen(self, weights: Mapping[str, Tensor]) -> Any:
        module = copy.deepcopy(super().build_module()).requires_grad_(False).eval()
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            told = f"The weights of the teacher '{self._config.teacher}' do not fit the recipe's network"
            raise UsageError(f"{told}: {error}") from error
        return module

    def build_module(self) -> nn.Module:
        """The teacher's weights, and strides that say nothing yet."""
        module: Any = super().build_module()
        module.load_state_dict(self._teacher.state_dict())
        module[STRIDE] = Strides(self._conditioner.spec.vector_dim or 0)
        return module

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """noise (B, *S), condition inputs (B, ...), and uniform numbers (B, P, 2) that choose the pairs."""
        shape = self._validation["noise"].shape[1:]
        if self._inputs is None:
            inputs = self._inputs_of(self._train.draw(indices, draws)[0])
        else:
            inputs = self._inputs[indices]
        inputs = placed(self._conditioner.drop(inputs, draws), draws.device)
        noise = draws.normal(*shape)
        return {"noise": noise, "inputs": inputs, "pairs": draws.uniform(PAIRS_PER_WALK, 2)}

    def losses(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Squared error of the average velocities between pairs of states."""
        states, times = self._walk(batch["inputs"], batch["noise"])
        calls, here, there = _chosen(batch["pairs"], len(states) - 1)  # (B, P) each
        rows = torch.arange(len(calls), device=calls.device)[:, None]
        x_t, x_s = states[here, rows].flatten(0, 1), states[there, rows].flatten(0, 1)  # (B P, *S)
        t, s = times[here].flatten(), times[there].flatten()
        inputs = batch["inputs"].repeat_interleave(calls.shape[1], dim=0)
        parts: Any = module
        conditioning = parts[STRIDE](parts["conditioner"](inputs), calls.flatten())
        output = Denoiser.of(parts["denoiser"], self._objective).output(x_t, t, conditioning)
        span = ((t - s) / self._objective.path.num_timesteps).view(-1, *[1] * (x_t.ndim - 1))
        error = output.float() - (x_t - x_s) / span
        return {"loss": error.square().mean()}

    @torch.no_grad()
    def validate(self, module: nn.Module, device: Any) -> dict[str, Any]:
        """How far walks of n calls end from the teacher's, as shares of the variance of where they end.

        "loss" is the mean over n; ending at the mean of all ends would score 1.
        """
        errors = dict.fromkeys(CALLS, 0.0)
        inputs, noise = (self._validation[name] for name in ("inputs", "noise"))
        ends: list[Tensor] = []
        for rows in torch.arange(len(noise)).split(VALIDATION_BATCH):
            asked, start = inputs[rows].to(device), noise[rows].to(device)
            end = self._walk(asked, start)[0][-1]
            ends.append(end)
            for calls in CALLS:
                found = self._drawn(module, asked, start, calls)
                errors[calls] += (found - end).square().sum().item()
        every = torch.cat(ends)
        total = (every - every.mean(0)).square().sum().item()
        shares = {calls: error / total for calls, error in errors.items()}
        loss = sum(shares.values()) / len(shares)
        told = ", ".join(f"{calls}: {share:.1%}" for calls, share in shares.items())
        return {
            "loss": loss,
            "better_than_trivial": loss < 1.0,
            "verdict": f"Away from the teacher's samples, in shares of their variance, by calls: {told}.",
            "calls": list(CALLS),
            "error_per_calls": list(shares.values()),
        }

    def _walk(self, inputs: Tensor, noise: Tensor) -> tuple[Float[Tensor, "N+1 B *S"], Float[Tensor, " N+1"]]:
        """The states of the teacher's walk, its noise first, and their timesteps."""
        teacher = self._teacher.to(noise)
        with torch.no_grad():
            condition = teacher["conditioner"](inputs)
            nothing = placed(self._conditioner.null_inputs(len(inputs)), noise.device)
            null = teacher["conditioner"](nothing)
            model = Denoiser.of(teacher["denoiser"], self._objective)
            weak = None
            if self._weak is not None:
                parts = self._weak.to(noise)
                weak = Denoiser.of(parts["denoiser"], self._objective), parts["conditioner"](nothing)
            sampler = self._walk_of(model, condition, null, self._config.teacher_steps, weak)
            steps = list(sampler(noise, _no_noise))
        times = [float(self._objective.path.num_timesteps), *(step.timestep for step in steps)]
        return torch.stack([noise, *(step.x_t.to(noise) for step in steps)]), noise.new_tensor(times)

    def _drawn(self, module: nn.Module, inputs: Tensor, noise: Tensor, calls: int) -> Tensor:
        """Where `calls` Euler steps from `noise` (B, *S) end."""
        parts: Any = module
        conditioning: Conditioning = parts[STRIDE](parts["conditioner"](inputs), calls)
        model = Denoiser.of(parts["denoiser"], self._objective)
        bound = guide(model, conditioning, conditioning, scale=1.0)
        euler = load_kind("samplers", "euler")
        for step in euler.build(euler.Config(kind="euler"))(bound, calls)(noise):
            noise = step.x_t
        return noise


def _no_noise(index: int, x: Tensor) -> Tensor:
    raise UsageError(
        "The teacher's sampler adds noise on its way, and a random walk has no straight way through it.",
        hint="Teach by a deterministic sampler: train the teacher with --set sampling.sampler.kind=dpmpp_2m.",
    )


def _chosen(chance: Float[Tensor, "B P 2"], steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers of calls, and the places of the states that one call goes from and to, int64 (B, P) each."""
    which = (chance[..., 0] * len(CALLS)).long()
    calls = torch.tensor(CALLS, device=chance.device)[which]
    index = (chance[..., 1] * calls).long()
    stride = steps // calls
    return calls, index * stride, (index + 1) * stride


build = FewStepTask
