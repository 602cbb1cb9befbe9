"""How a module is spread over the processes of a run: whole in each (DDP), or in shards (FSDP2).

Checkpoints are the same either way, and whatever the number of processes: those of one alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facegen.errors import UsageError
from facegen.nn.memory_layout import lay_out_convolutions, lay_out_state
from facegen.processes import World
from facegen.protocols import Batch, PhasedTask, TrainingTask

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # whose statistics are of a process's own part


def local(parameter: Tensor) -> Tensor:
    """The part of a parameter that this process holds: all of it, unless it is sharded."""
    held: Any = parameter.detach()
    return held.to_local() if hasattr(held, "to_local") else held


class Replicas:
    """The module whole in every process; gradients are averaged while they are calculated."""

    def __init__(self, task: TrainingTask, module: nn.Module, world: World) -> None:
        self.module = module
        lay_out_convolutions(module)
        losses = _Losses(task, module)
        self._ddp: Any = None
        if world.is_many:
            _check_statistics(module)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the option below is renamed in 2.13
                self._ddp = nn.parallel.DistributedDataParallel(
                    losses,
                    find_unused_parameters=isinstance(task, PhasedTask),
                    gradient_as_bucket_view=True,
                    broadcast_buffers=False,  # they are constants: statistics of batches are refused
                )
        self.losses: Callable[[Batch], dict[str, Tensor]] = self._ddp or losses

    def accumulating(self, *, last: bool) -> AbstractContextManager[Any]:
        """Context of a micro-batch; processes meet in the `last` one of a batch."""
        return nullcontext() if last or self._ddp is None else self._ddp.no_sync()

    def copy(self) -> nn.Module:
        """Another module like it, laid out alike."""
        return deepcopy(self.module)

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        """The whole state of `module`, which is this one or a `copy`; all processes call it."""
        return module.state_dict()

    def load(self, module: nn.Module, weights: dict[str, Tensor]) -> None:
        module.load_state_dict(weights)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return optimizer.state_dict()

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        optimizer.load_state_dict(state)
        lay_out_state(optimizer)

    def whole(self, module: nn.Module) -> nn.Module:
        """`module` as one process can use it alone."""
        return module


class Shards:
    """Each process has a part of every parameter, gradient and Adam moment: for modules that do not fit."""

    def __init__(self, task: TrainingTask, module: nn.Module, world: World, device: torch.device) -> None:
        from torch.distributed.device_mesh import init_device_mesh

        # A view that is not written to, as conditioners and denoisers do not, loses no hook.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        self._mesh = init_device_mesh(device.type, (world.size,))
        self._device, self._is_first = device, world.is_first
        self._whole = deepcopy(module).cpu()
        self.module = self._sharded(module)
        self.losses: Callable[[Batch], dict[str, Tensor]] = _Losses(task, self.module)

    def accumulating(self, *, last: bool) -> AbstractContextManager[Any]:
        for part in self.module.children():
            sharded: Any = part
            sharded.set_requires_gradient_sync(last)
        return nullcontext()

    def copy(self) -> nn.Module:
        return self._sharded(deepcopy(self._whole).to(self._device))

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        from torch.distributed.checkpoint.state_dict import get_model_state_dict

        state: dict[str, Any] = dict(get_model_state_dict(module, options=_all_of_it()))
        return state

    def load(self, module: nn.Module, weights: dict[str, Tensor]) -> None:
        from torch.distributed.checkpoint.state_dict import set_model_state_dict

        set_model_state_dict(module, dict[str, Any](weights), options=_all_of_it())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """As an optimizer of the whole module would tell it: parameters by number instead of by name."""
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        told: Any = get_optimizer_state_dict(self.module, optimizer, options=_all_of_it())
        state, names = told.get("state", {}), self._trained
        groups = [{**group, "params": list(range(len(names)))} for group in told.get("param_groups", [])]
        return {
            "state": {number: state[name] for number, name in enumerate(names) if name in state},
            "param_groups": groups,
        }

    def load_optimizer(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

        names = self._trained
        groups = [{**group, "params": names} for group in state["param_groups"]]
        told: Any = {
            "state": {names[number]: values for number, values in state["state"].items()},
            "param_groups": groups,
        }
        set_optimizer_state_dict(self.module, optimizer, told, options=_all_of_it())

    def whole(self, module: nn.Module) -> nn.Module:
        self._whole.load_state_dict(self.weights(module), strict=False)  # the first process gets them
        return deepcopy(self._whole).to(self._device) if self._is_first else self._whole

    @property
    def _trained(self) -> list[str]:
        return [name for name, parameter in self.module.named_parameters() if parameter.requires_grad]

    def _sharded(self, module: nn.Module) -> nn.Module:
        """`module` with its parts, and the blocks within these, each gathered when it is its turn."""
        from torch.distributed.fsdp import fully_shard

        for part in module.children():
            for blocks in [one for one in part.modules() if isinstance(one, nn.ModuleList)]:
                for block in blocks:
                    if next(block.parameters(), None) is not None:
                        fully_shard(block, mesh=self._mesh)
            fully_shard(part, mesh=self._mesh)
        return module


Spread = Replicas | Shards


def spread(kind: str, task: TrainingTask, module: nn.Module, world: World, device: torch.device) -> Spread:
    """`module` in all processes as `training.parallel` says, "ddp" or "fsdp".

    Raises:
        UsageError: shards of a module whose parts are not called as wholes, or batch statistics.
    """
    if kind == "ddp" or not world.is_many:
        return Replicas(task, module, world)
    if not is_denoiser(module):
        raise UsageError(
            "training.parallel=fsdp shards denoisers only.", hint="Use --set training.parallel=ddp"
        )
    return Shards(task, module, world, device)


def is_denoiser(module: nn.Module) -> bool:
    """Whether `module` is a denoiser beside its conditioner."""
    return isinstance(module, nn.ModuleDict) and "denoiser" in module


class _Losses(nn.Module):
    """A task's losses as the forward pass of a module, which is what DDP hooks into."""

    def __init__(self, task: TrainingTask, module: nn.Module) -> None:
        super().__init__()
        self.module, self._task = module, task

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        losses = self._task.losses(self.module, batch)
        return {name: value if name == "loss" else value.detach() for name, value in losses.items()}


def _check_statistics(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, NORMS) and part.track_running_stats:
            raise UsageError(
                f"'{name}' is a batch norm, whose statistics would be of each process's images alone.",
                hint="Train in one process, or use group norms.",
            )


def _all_of_it() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)
