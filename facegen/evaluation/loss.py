"""`facegen eval loss`: the held-out loss of a run with its interval, image by image, so that runs compare."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facegen.config.recipe import Recipe
from facegen.errors import DataError, UsageError
from facegen.evaluation.options import LossOptions
from facegen.evaluation.score_rows import score_row
from facegen.evaluation.steps import Evaluation, finished
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.influences import Influence, Influences, pairing_of
from facegen.formats.reports import ScoreRow
from facegen.formats.run import RunDirectory
from facegen.metrics import ratio_interval
from facegen.models.devices import resolve_device
from facegen.progress import SilentProgress
from facegen.protocols import Progress, TaskByImage
from facegen.training.precision import choose_precision
from facegen.training.train import check_same_data
from facegen.training.trainer import build_seeded
from facegen.training.wiring import wire_task

TRAINED_BY = (
    "timesteps",
    "logit_normal_mean",
    "logit_normal_std",
)  # of diffusion; not judged by


@dataclass(frozen=True, kw_only=True)
class LossReport(Evaluation):
    """The mean loss of held-out images by the averaged weights, at the noise of every validation."""

    metric: str = "loss"
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    num_samples: int
    run: str
    settings: dict[str, Any]
    precision: str


def measured_by(recipe: Recipe) -> dict[str, Any]:
    """What a held-out loss depends on beside weights and data: losses compare where all of it is the same."""
    diffusion = recipe.diffusion.model_dump(mode="json", exclude=set(TRAINED_BY))
    return {
        "split": recipe.data.validation_split,
        "task": recipe.task,
        "diffusion": diffusion if recipe.denoiser is not None else None,
    }


def evaluate_loss(
    run: Path | str, options: LossOptions | None = None, progress: Progress | None = None
) -> LossReport:
    """Judge the best checkpoint of `run`, or the checkpoint named, as validation while training does.

    Writes `RUN/evaluations/loss-*.json`, and beside it what each image adds, for `facegen compare`.

    Raises:
        UsageError: a run of a task whose held-out loss is no mean over images, or whose data are others now.
        MissingModelError: no checkpoint.
        DataError: the data are not there, or the loss is not finite.
    """
    options, progress = options or LossOptions(), progress or SilentProgress()
    started, device = time.monotonic(), resolve_device(options.device)
    checkpoint = load_checkpoint(Path(run))
    folder = RunDirectory(checkpoint.folder.parent.parent)
    recipe = folder.recipe()
    if options.data is not None:
        data = recipe.data.model_copy(update={"path": str(options.data)})
        recipe = recipe.model_copy(update={"data": data})
    wired = wire_task(recipe, progress)
    check_same_data(wired, checkpoint, recipe)
    task, kind = wired.task, recipe.task["kind"]
    if not isinstance(task, TaskByImage):
        raise UsageError(
            f"The held-out loss of the task '{kind}' is no mean over images.",
            hint="What it was at each validation is in RUN/metrics.jsonl; 'facegen runs' shows the newest.",
        )
    module = build_seeded(task.build_module, recipe.training.seed)
    module.load_state_dict(checkpoint.weights("ema"))
    precision = choose_precision(recipe.training.precision, device)
    with torch.no_grad(), precision.autocast(device):
        losses = task.losses_by_image(module.to(device).eval(), device)
    if not bool(losses.isfinite().all()):
        raise DataError(
            f"The held-out loss of '{checkpoint.folder}' is not finite: its weights diverged.",
            hint="Name an earlier checkpoint: RUN/checkpoints/step-N",
        )
    low, high = ratio_interval(losses.double().numpy(), np.ones(len(losses)))
    told = "the mean loss of a held-out image at the noise of every validation"
    row = score_row("loss", losses.double().mean().item(), {"low": low, "high": high}, "lower", told)
    data_is = {"dataset": checkpoint.info.data_fingerprint, "num_samples": len(losses)}
    fingerprint = {**data_is, **measured_by(recipe)}
    which = "ema" if checkpoint.has_ema else "model"
    report = LossReport(
        scores={"loss": row},
        fingerprint=fingerprint,
        num_samples=len(losses),
        run=str(run),
        settings={
            "checkpoint_step": checkpoint.info.step,
            "weights_sha256": checkpoint.info.files[f"{which}.safetensors"],
        },
        precision=precision.name,
    )
    return finished(
        report,
        started,
        folder.path,
        influences=Influences({"loss": Influence(losses)}, pairing_of(fingerprint)),
    )
