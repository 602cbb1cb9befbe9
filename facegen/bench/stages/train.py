"""Steps of facegen's trainer, beside a loop of other people's parts and beside forward and backward alone.

The trainer goes on by itself and cannot be asked for single steps, so it gives the beat: after each of its
windows the others make theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from facegen.bench.made_up import Network, recipe_of, write_latents
from facegen.bench.result import Finding, StageResult, Way
from facegen.bench.targets import finding, rate_ratio
from facegen.bench.timing import Bench, Clocks, Record, Subject, set_aside, timed
from facegen.compat import guard_torchvision
from facegen.config.recipe import Recipe
from facegen.formats.latents import LatentStore
from facegen.formats.run import RunDirectory
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Batch
from facegen.training.checkpointing import CheckpointKeeper
from facegen.training.precision import Precision
from facegen.training.trainer import Trainer, build_seeded
from facegen.training.wiring import WiredTask, count_parameters, wire_task

OURS, BARE = "facegen", "forward and backward alone"
PEER = "accelerate, EMAModel, default AdamW"
PEAK = "as many operations as matrix products"
ATTRIBUTES = tuple(f"attribute_{number:02d}" for number in range(40))
FULL = Network("5.6 M", width=256, depth=6, num_heads=4, batch_size=32)
TINY = Network("tiny", width=64, depth=2, num_heads=2, batch_size=8)
SHAPE, SHORT_SHAPE = (4, 16, 16), (4, 8, 8)  # 64 and 16 tokens
PRODUCT_SIDE, PRODUCTS, EMA_DECAY = 1024, 8, 0.9999


class Enough(Exception):
    """All rounds are made; what the trainer would do next is not wanted."""


def measure(bench: Bench) -> StageResult:
    """A transformer of 5.6 M parameters on batches of 32, with 64 tokens and with 16; tiny when quick."""
    network = TINY if bench.quick else FULL
    ways: dict[str, Way] = {}
    findings: list[Finding] = []
    sizes: dict[str, Any] = {"batch": network.batch_size}
    missing = [name for name in ("accelerate", "diffusers") if find_spec(name) is None]
    for shape, steps in ((SHAPE, bench.size(4, 1)), (SHORT_SHAPE, bench.size(10, 2))):
        tokens = shape[1] * shape[2] // 4
        latents = write_latents(bench.folder / f"latents-{tokens}", shape, bench.size(2_048, 64), ATTRIBUTES)
        one = _Training(bench, network, latents, steps, peer=not missing)
        sizes["parameters"] = one.parameters
        taken = one.measured()
        findings += list(one.findings(taken, tokens))
        ways |= {f"{name}, {tokens} tokens": way for name, way in taken.items()}
    named = tuple(replace(way, name=name) for name, way in ways.items())
    left_out = tuple(f"{PEER}: '{name}' is not installed (pip install 'facegen[bench]')" for name in missing)
    return StageResult("train", sizes, named, tuple(findings), left_out)


class _Training:
    """Three loops of one network on one folder of latents, some steps each in turn."""

    def __init__(self, bench: Bench, network: Network, latents: Path, steps: int, *, peer: bool) -> None:
        self._bench, self._steps = bench, steps
        recipe = recipe_of(network, latents, log_every_steps=steps)
        self._trainer = _trainer(wire_task(recipe), bench.folder / f"run-{latents.name}", self._after)
        self.parameters = count_parameters(self._trainer.module)
        batch = self._trainer.batches.load(0)
        bare, self._operations = _bare(recipe, batch, self._trainer.precision)
        product = 2 * PRODUCT_SIDE**3
        dtype = self._trainer.precision.compute_dtype  # as the forward pass multiplies
        factors = torch.randn(2, PRODUCT_SIDE, PRODUCT_SIDE, device=batch["x0"].device, dtype=dtype)
        products = partial(torch.mm, factors[0], factors[1])
        self._ours = Subject(OURS, "facegen", lambda: None, steps, "step")
        self._others = [
            Subject(BARE, "limit", _times(steps, bare), steps, "step"),
            Subject(PEAK, "limit", _times(PRODUCTS, products), PRODUCTS * product / self._operations, "step"),
        ]
        if peer:
            step = _peer(recipe, latents, self._trainer.precision)
            self._others.insert(0, Subject(PEER, "peer", _times(steps, step), steps, "step"))
        self._record, self._rounds, self._began = Record(), 0, Clocks.now()

    def measured(self) -> dict[str, Way]:
        set_aside()
        with suppress(Enough):
            self._trainer.fit()
        return self._record.ways

    def _after(self, step: int) -> None:
        """Called by the trainer when a step is done."""
        if step % self._steps:
            return
        took = Clocks.now().since(self._began)
        counted = self._rounds > 0  # the first round warms up
        if counted:
            self._record.note(self._ours, took)
        for other in self._others:
            taken = timed(other.act)
            if counted:
                self._record.note(other, taken)
        self._rounds += 1
        self._bench.tick()
        if self._rounds > self._bench.rounds:
            raise Enough
        self._began = Clocks.now()

    def findings(self, ways: dict[str, Way], tokens: int) -> Iterator[Finding]:
        ours, limit, millions = ways[OURS], ways[BARE], self.parameters / 1e6
        words, mine = f"with {tokens} tokens, ", _overhead(ours, limit, millions)
        yield rate_ratio(f"train/bare-{tokens}", f"{words}of forward and backward alone", ours, limit)
        yield rate_ratio(f"train/peak-{tokens}", f"{words}of the machine's matrix products", ours, ways[PEAK])
        peak = [self._operations / seconds / 1e9 for seconds in ways[PEAK].seconds]
        yield finding(f"train/gflops-{tokens}", f"{words}matrix products", peak, unit="GFLOP/s")
        yield _overhead_finding(f"train/overhead-{tokens}", f"{words}overhead a step and M parameters", mine)
        if PEER in ways:
            theirs = _overhead(ways[PEER], limit, millions)
            yield rate_ratio(f"train/step-{tokens}", f"{words}times the peer's rate", ours, ways[PEER])
            yield _overhead_finding(f"train/peer-overhead-{tokens}", f"{words}the peer's overhead", theirs)


def _overhead(way: Way, limit: Way, millions: float) -> tuple[list[float], list[float]]:
    """Milliseconds above the limit, a step and million parameters, round by round, by both clocks."""
    wall, cpu = (
        [1e3 * (a - b) / millions for a, b in zip(one, other, strict=True)]
        for one, other in ((way.seconds, limit.seconds), (way.cpu_seconds, limit.cpu_seconds))
    )
    return wall, cpu


def _overhead_finding(key: str, name: str, by_clocks: tuple[list[float], list[float]]) -> Finding:
    wall, cpu = by_clocks
    return finding(key, name, wall, cpu_values=cpu, unit="ms", better="lower")


class _Trainer(Trainer):
    """The trainer as it is, which calls `after` when a step and all that belongs to it is done."""

    def __init__(self, *arguments: Any, after: Callable[[int], None]) -> None:
        super().__init__(*arguments)
        self._after = after

    def _after_step(self, speed: Any, *, stopping: bool) -> None:
        super()._after_step(speed, stopping=stopping)
        self._after(self.step)


def _trainer(wired: WiredTask, run: Path, after: Callable[[int], None]) -> _Trainer:
    run.mkdir(parents=True)
    keeper = CheckpointKeeper(RunDirectory(run), wired.info, wired.recipe.training.keep_last)
    device = resolve_device("auto")
    return _Trainer(wired.task, wired.recipe, keeper, SilentProgress(), device, after=after)


def _times(count: int, act: Callable[[], Any]) -> Callable[[], None]:
    def acts() -> None:
        for _ in range(count):
            act()

    return acts


def _bare(recipe: Recipe, batch: Batch, precision: Precision) -> tuple[Callable[[], None], int]:
    """Forward and backward on one batch again and again, and how many operations that is."""
    task = wire_task(recipe).task
    device = batch["x0"].device
    module = build_seeded(task.build_module, 0).to(device).train()

    def act() -> None:
        with precision.autocast(device):
            loss = task.losses(module, batch)["loss"]
        loss.backward()
        for parameter in module.parameters():
            parameter.grad = None

    with FlopCounterMode(display=False) as counter:
        act()
    return act, counter.get_total_flops()


def _peer(recipe: Recipe, latents: Path, precision: Precision) -> Callable[[], float]:
    """A step as scripts on accelerate write it: default AdamW, diffusers' EMAModel, the loss read every time.

    Its latents lie in memory in float32, and its noise comes from torch's own generator.
    """
    guard_torchvision()
    from accelerate import Accelerator  # pyright: ignore[reportMissingImports]
    from diffusers.training_utils import EMAModel

    mixed = precision.name if precision.name in ("bf16", "fp16") else "no"
    accelerator = Accelerator(mixed_precision=mixed, cpu=resolve_device("auto").type == "cpu")
    module: Any = build_seeded(wire_task(recipe).task.build_module, 0).train()
    split = LatentStore.open(latents).split("train")
    examples = TensorDataset(
        split.gather(torch.arange(len(split))).mean, module["conditioner"].inputs(split.frame)
    )
    loader = DataLoader(examples, batch_size=recipe.training.batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4)
    module, optimizer, loader = accelerator.prepare(module, optimizer, loader)
    average = EMAModel(module.parameters(), decay=EMA_DECAY)
    average.to(accelerator.device)
    batches = _endless(loader)

    def step() -> float:
        x0, told = next(batches)
        noise, time = torch.randn_like(x0), torch.sigmoid(torch.randn(len(x0), device=x0.device))
        share = time.view(-1, 1, 1, 1)
        with accelerator.autocast():
            condition = module["conditioner"](told)
            output = module["denoiser"]((1 - share) * x0 + share * noise, 1000 * time, condition)
        loss = nn.functional.mse_loss(output.float(), noise - x0)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(module.parameters())
        return loss.item()

    return step


def _endless(loader: Any) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader
