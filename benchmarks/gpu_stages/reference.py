"""The same network in a plain PyTorch loop, written as fast-DiT's train.py does, to compare facegen with.

https://github.com/chuanyangjin/fast-DiT: default AdamW, autocast, an average kept parameter by parameter,
and the loss read at every step. It is given its latents for nothing: they lie in memory, already float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegen.compat import guard_torchvision
from facegen.formats.latents import LatentStore
from facegen.training.precision import choose_precision
from facegen.training.trainer import build_seeded
from facegen.training.wiring import wire_task
from gpu_stages.context import Context, finished
from gpu_stages.data import Network, recipe_of

try:  # once for all stages
    guard_torchvision()
    from diffusers.training_utils import EMAModel
except (ImportError, RuntimeError):  # also what a library says that does not fit its neighbours
    EMAModel = None

EMA_DECAY = 0.9999
NUM_TIMESTEPS = 1000


def reference_speed(
    context: Context, network: Network, latents: Path, *, compiled: bool = False
) -> dict[str, Any]:
    """Steps of the plain loop; half the batch as long as memory is too small."""
    size = network.batch_size
    while True:
        try:
            return _measured(context, network, latents, size, compiled)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        size //= 2
        torch.cuda.empty_cache()


def _measured(context: Context, network: Network, latents: Path, size: int, compiled: bool) -> dict[str, Any]:
    device = context.device
    recipe = recipe_of(network, latents)
    module = build_seeded(wire_task(recipe).task.build_module, 0).to(device)
    step, average = plain_step(module, latents, size, device, compiled)
    warm_up, window, windows = (1, 2, 1) if context.smoke else (10, 25, 3)
    for _ in range(warm_up):
        step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(windows):
        began = finished(device)
        for _ in range(window):
            step()
        seconds.append((finished(device) - began) / window)
    return {
        "precision": choose_precision("auto", device).name,
        "average": average,
        "batch_size": size,
        "images_per_second": size / median(seconds),
        "step_ms": 1e3 * median(seconds),
        "step_ms_of_windows": [round(1e3 * each, 3) for each in seconds],
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }


def plain_step(
    module: nn.Module, latents: Path, size: int, device: torch.device, compiled: bool
) -> tuple[Callable[[], float], str]:
    """A function that makes one training step and returns its loss, and what its average is kept by."""
    parts: Any = module
    denoiser = torch.compile(parts["denoiser"]) if compiled else parts["denoiser"]
    conditioner = parts["conditioner"]
    split = LatentStore.open(latents).split("train")
    x0s = split.gather(torch.arange(len(split))).mean
    inputs = conditioner.inputs(split.frame)
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0)
    update_average, kept_by = _average(parameters)
    precision = choose_precision("auto", device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision.uses_scaler)

    def placed(values: Tensor) -> Tensor:
        return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values

    def step() -> float:
        rows = torch.randint(len(x0s), (size,))
        x0, told = placed(x0s[rows]), placed(inputs[rows])
        noise = torch.randn_like(x0)
        time = torch.sigmoid(torch.randn(size, device=device))
        share = time.view(-1, 1, 1, 1)
        with precision.autocast(device):
            output = denoiser((1 - share) * x0 + share * noise, NUM_TIMESTEPS * time, conditioner(told))
        loss = F.mse_loss(output.float(), noise - x0)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        update_average()
        return loss.item()

    return step, kept_by


def _average(parameters: list[nn.Parameter]) -> tuple[Callable[[], None], str]:
    """Keeps the moving average of `parameters`: by diffusers where it is installed, else as fast-DiT does."""
    if EMAModel is None:
        averages = [parameter.detach().clone() for parameter in parameters]

        @torch.no_grad()
        def update() -> None:
            for average, parameter in zip(averages, parameters, strict=True):
                average.mul_(EMA_DECAY).add_(parameter, alpha=1 - EMA_DECAY)

        return update, "a loop over the parameters"
    model = EMAModel(parameters, decay=EMA_DECAY)
    model.to(parameters[0].device)
    return lambda: model.step(parameters), "diffusers' EMAModel"
