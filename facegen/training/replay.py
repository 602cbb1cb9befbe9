"""`facegen replay`: a step that went wrong once more, up to the first operation that is not finite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import DataError, StorageError, UsageError
from facegen.formats.files import read_json
from facegen.formats.plain import plain
from facegen.formats.run import RunDirectory
from facegen.models.devices import resolve_device
from facegen.nn.sample_dropout import with_sample_dropout
from facegen.progress import SilentProgress
from facegen.protocols import Progress
from facegen.training.batches import set_dropout_keys
from facegen.training.capsule import BATCH_FILE, CAPSULE_FILE, CAPSULE_FORMAT_VERSION, MODEL_FILE
from facegen.training.precision import choose_precision
from facegen.training.trainer import build_seeded
from facegen.training.wiring import wire_task

UNWRITTEN = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")  # hold anything


@dataclass(frozen=True)
class Operand:
    """A tensor in words: `nans` and `infinities` are counts, `lowest` and `highest` of what is finite."""

    shape: tuple[int, ...]
    dtype: str
    lowest: float | None
    highest: float | None
    nans: int
    infinities: int

    @staticmethod
    def of(tensor: Tensor) -> Operand:
        finite = tensor[torch.isfinite(tensor)] if tensor.is_floating_point() else tensor.flatten()
        ends = [float(end) for end in finite.aminmax()] if finite.numel() else [None, None]
        nans, infinities = int(tensor.isnan().sum()), int(tensor.isinf().sum())
        return Operand(tuple(tensor.shape), str(tensor.dtype)[6:], ends[0], ends[1], nans, infinities)

    def __str__(self) -> str:
        size = " x ".join(map(str, self.shape)) or "one number"
        ends = "" if self.lowest is None else f", {self.lowest:.4g} to {self.highest:.4g}"
        bad = ((self.nans, "NaN"), (self.infinities, "infinite"))
        return f"{self.dtype}, {size}{ends}" + "".join(f", {count} {what}" for count, what in bad if count)


@dataclass(frozen=True)
class Replay:
    """What was found. `what` is "weights", "batch", "operation" or "nothing"; `name` the weight's, the part
    of the batch's or the operation's; `where` the module whose pass it was in; `came_in` and `came_out` its
    operands; `gradients` the parameters whose gradient is not finite, in the order of the module."""

    capsule: str
    step: int
    precision: str
    device: str
    what: str
    name: str | None = None
    where: str | None = None
    came_in: tuple[Operand, ...] = ()
    came_out: tuple[Operand, ...] = ()
    loss: float | None = None
    gradients: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return plain(self)


def replay(
    capsule: Path, data: Path | None = None, device: str = "auto", progress: Progress | None = None
) -> Replay:
    """Make the step of `capsule` again, and name the first operation whose output is not finite.

    `data` are those of the run, if they are elsewhere now; the batch itself is in the capsule.

    Raises:
        UsageError: no capsule.
        DataError: the run's data are not there.
        StorageError: the capsule is damaged, or of another task.
    """
    progress, target = progress or SilentProgress(), resolve_device(device)
    told = _told(capsule)
    recipe = _recipe(capsule, told, data)
    task = wire_task(recipe, progress).task
    precision = choose_precision(told.get("precision", recipe.training.precision), target)
    module = build_seeded(task.build_module, recipe.training.seed)
    try:
        module.load_state_dict(load_file(capsule / MODEL_FILE))
        batch = load_file(capsule / BATCH_FILE)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise StorageError(f"The capsule '{capsule}' is damaged: {error}") from error
    module = module.to(target, precision.dtype).train()
    batch = {name: value.to(target) for name, value in batch.items()}
    about = Replay(str(capsule), told["step"], precision.name, str(target), "nothing")
    for what, tensors in (("weights", module.state_dict()), ("batch", batch)):
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return Replay(**{**vars(about), "what": what, "name": name, "came_in": (Operand.of(tensor),)})
    set_dropout_keys(with_sample_dropout(module), batch)
    watcher = _Watcher()
    with watcher.naming(module), watcher:
        with precision.autocast(target):
            loss = task.losses(module, batch)["loss"]
        watcher.place[:] = ["the gradient"]
        loss.backward()
    bad = tuple(
        name
        for name, one in module.named_parameters()
        if one.grad is not None and not bool(torch.isfinite(one.grad).all())
    )
    return Replay(**{**vars(about), **watcher.found, "loss": loss.item(), "gradients": bad})


@dataclass(eq=False)
class _Watcher(TorchDispatchMode):
    """Sees every operation; `found` has the fields of a `Replay` about the first that is not finite."""

    place: list[str] = field(default_factory=list[str])
    found: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not self.found and name not in UNWRITTEN:
            came_in, came_out = tree_leaves((args, kwargs)), tree_leaves(result)
            if _went_wrong(came_in, came_out):
                self.found = {
                    "what": "operation",
                    "name": name,
                    "where": self.place[-1] if self.place else None,
                    "came_in": tuple(Operand.of(one) for one in came_in if isinstance(one, Tensor)),
                    "came_out": tuple(Operand.of(one) for one in came_out if isinstance(one, Tensor)),
                }
        return result

    @contextmanager
    def naming(self, module: nn.Module) -> Iterator[None]:
        """While it lasts, `place` ends with the name of the module that computes."""
        hooks = []
        for name, part in module.named_modules():
            hooks.append(part.register_forward_pre_hook(partial(self._enter, name or "the model")))
            hooks.append(part.register_forward_hook(self._leave, always_call=True))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, name: str, *_: Any) -> None:
        self.place.append(name)

    def _leave(self, *_: Any) -> None:
        self.place.pop()


def _went_wrong(came_in: list[Any], came_out: list[Any]) -> bool:
    """Whether something is not finite in what came out that was not so already: a mask of -inf is meant."""
    out_nan, out_inf = _holds(came_out)
    if not (out_nan or out_inf):
        return False
    in_nan, in_inf = _holds(came_in)
    return (out_nan and not in_nan) or (out_inf and not (in_nan or in_inf))


def _holds(values: list[Any]) -> tuple[bool, bool]:
    """Whether there is a NaN, and an infinity, among tensors and numbers."""
    numbers = [torch.tensor(one) for one in values if isinstance(one, float)]
    tensors = [one for one in values if isinstance(one, Tensor) and one.is_floating_point()]
    nan = any(bool(one.isnan().any()) for one in (*numbers, *tensors))
    return nan, any(bool(one.isinf().any()) for one in (*numbers, *tensors))


def _told(capsule: Path) -> dict[str, Any]:
    if not (capsule / CAPSULE_FILE).is_file():
        raise UsageError(
            f"'{capsule}' is not a capsule: it has no '{CAPSULE_FILE}'.",
            hint="A training that diverged leaves one in RUN/capsules, and says so.",
        )
    return read_json(capsule / CAPSULE_FILE, CAPSULE_FORMAT_VERSION)


def _recipe(capsule: Path, told: dict[str, Any], data: Path | None) -> Recipe:
    """The capsule's recipe, with the data of the run it lies in, or those that are given."""
    recipe, run = parse_recipe(told["recipe"]), RunDirectory(capsule.resolve().parent.parent)
    if data is not None:
        path = str(data)
    elif run.exists:
        path = run.recipe().data.path
    else:
        raise DataError(
            f"'{capsule}' does not lie in its run any more.", hint="Name the run's data: --data LATENTS"
        )
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": path})})
