"""Averages of several widths kept beside the weights, and their snapshots, to choose a width afterwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from facegen.config.recipe import EmaConfig
from facegen.errors import UsageError
from facegen.formats.ema_snapshots import EmaSnapshots
from facegen.formats.run import RunDirectory
from facegen.processes import world
from facegen.training.ema import pull
from facegen.training.ema_profiles import exponent_of, update_weight


class PowerEmas:
    """The power-function averages of `ema.widths`; with none of them, nothing is done.

    The exponential average is the one that is validated, previewed and saved as weights. These are for
    `facegen ema`: `ema.snapshots` times in the run, at even distances, they are written to RUN/ema.
    """

    def __init__(self, config: EmaConfig, module: nn.Module, run: RunDirectory, num_steps: int) -> None:
        self._updates = torch.zeros(())  # steps taken in, skipped ones not among them
        self._snapshots, self._num_snapshots, self._num_steps = (
            EmaSnapshots(run.path),
            config.snapshots,
            num_steps,
        )
        self._exponents = {width: exponent_of(width) for width in config.widths}
        if config.widths and any(hasattr(parameter, "to_local") for parameter in module.parameters()):
            raise UsageError("ema.widths are not kept of shards.", hint="Use --set training.parallel=ddp")
        self._module = module
        trained = ((n, p) for n, p in module.named_parameters(remove_duplicate=False) if p.requires_grad)
        self._weights = {name: parameter.detach() for name, parameter in trained}
        self._averages = {
            width: {name: weight.clone() for name, weight in self._weights.items()} for width in config.widths
        }

    @property
    def updates(self) -> int:
        """Steps taken in, skipped ones not among them; waits for the device."""
        return int(self._updates)

    @torch.no_grad()
    def update(self, skipped: Tensor) -> None:
        """Take in the weights after a step, unless it was `skipped` (1 or 0)."""
        if not self._averages:
            return
        exact = torch.float32 if skipped.device.type == "mps" else torch.float64
        self._updates = self._updates.to(skipped.device, exact) + (1 - skipped)
        weights = list(self._weights.values())
        for width, average in self._averages.items():
            newest = update_weight(self._updates, self._exponents[width])
            pull(list(average.values()), weights, (1 - skipped) * newest)

    def after_step(self, step: int) -> None:
        """Write a snapshot if one is due after `step`; of several processes the first does.

        Raises:
            StorageError: the disk is full or cannot be written to.
        """
        if self._averages and self._is_due(step) and world().is_first and self.updates:
            self._snapshots.write(step, self.updates, self._averages, self._buffers())

    def drop_after(self, step: int) -> None:
        """Remove the snapshots after `step`, which the resumed run makes again.

        Raises:
            StorageError: their index is unreadable, or the folder cannot be written to.
        """
        self._snapshots.drop_after(step)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "averages": self._averages}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._updates = torch.tensor(float(state["updates"]), dtype=torch.float64)
        for width, average in self._averages.items():
            for name, tensor in average.items():
                tensor.copy_(state["averages"][width][name])

    def _is_due(self, step: int) -> bool:
        """Whether the run passes another of its `snapshots` even parts with this step."""
        done, before = (number * self._num_snapshots // self._num_steps for number in (step, step - 1))
        return done > before

    def _buffers(self) -> dict[str, Tensor]:
        """What the module's state has beside parameters, such as batch-norm statistics."""
        parameters = {name for name, _ in self._module.named_parameters(remove_duplicate=False)}
        return {name: value for name, value in self._module.state_dict().items() if name not in parameters}
