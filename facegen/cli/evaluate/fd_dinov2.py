"""`facegen eval fd-dinov2`."""

from __future__ import annotations

import typer

from facegen.cli.evaluate.distribution import (
    BatchSize,
    NumSamples,
    Reference,
    Split,
    Sweep,
    judge,
)
from facegen.cli.evaluate.options import Guidance, Seed, Steps, Subject
from facegen.cli.options import Device, Json, Quiet, described

ABOUT = (
    "The Fréchet distance in DINOv2's features, which follows people's judgement better than Inception's.",
    "Stein et al. 2023 (arXiv:2306.04675). The network comes from torch.hub's cache.",
)
EXAMPLES = ("facegen eval fd-dinov2 run --reference data/celeba --num-samples 10000",)


def register(group: typer.Typer) -> None:
    group.command("fd-dinov2", **described(ABOUT, *EXAMPLES))(fd_dinov2)


def fd_dinov2(
    subject: Subject,
    reference: Reference,
    num_samples: NumSamples = None,
    split: Split = "train",
    seed: Seed = 0,
    guidance: Guidance = None,
    steps: Steps = None,
    sweep: Sweep = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    given = {
        "features": "dinov2",
        "num_samples": num_samples,
        "split": split,
        "seed": seed,
        "guidance": guidance,
        "steps": steps,
        "batch_size": batch_size,
        "device": device,
    }
    judge(subject, reference, ("fid",), given, sweep=sweep, as_json=as_json, quiet=quiet, name="fd-dinov2")
