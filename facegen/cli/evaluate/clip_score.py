"""`facegen eval clip-score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facegen.cli.evaluate.options import Guidance, Seed, Steps, Subject
from facegen.cli.options import HARDWARE, Device, Json, Quiet, described

if TYPE_CHECKING:
    from facegen.evaluation.clip_score import ClipScoreReport

ABOUT = (
    "Score how well faces fit the words they were asked for with, by a CLIP of your choice.",
    "100 times the cosine of image and caption, clipped at 0, for each prompt and in the mean. Scores"
    " compare only under the same CLIP.",
)
EXAMPLES = (
    "facegen eval clip-score run --clip openai/clip-vit-base-patch32",
    'facegen eval clip-score my_images --clip my_clip --prompt "a man"',
)
WORST_PROMPTS = 10


def register(group: typer.Typer) -> None:
    group.command("clip-score", **described(ABOUT, *EXAMPLES))(clip_score)


def clip_score(
    subject: Subject,
    clip: Annotated[
        str, typer.Option(help="Hub name or local folder of a CLIP of transformers.", show_default=False)
    ],
    prompt: Annotated[
        str | None,
        typer.Option(help="One prompt for all images; left out: the captions of held-out records."),
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(help="Images to judge; left out: 500 drawn, or all there are.", min=1)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Data set or latents the captions come from; left out: the run's own."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split the captions come from.")] = "validation",
    seed: Seed = 0,
    guidance: Guidance = None,
    steps: Steps = None,
    batch_size: Annotated[int, typer.Option(help="Images at once.", min=1, rich_help_panel=HARDWARE)] = 32,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    from facegen.cli.console import make_progress
    from facegen.cli.results import print_json
    from facegen.evaluation.clip_score import ClipScoreOptions, evaluate_clip_score
    from facegen.evaluation.judged_images import Selection

    selection = Selection(
        num_samples=num_samples,
        default_samples=500,
        split=split,
        data=data,
        prompt=prompt,
        seed=seed,
        guidance=guidance,
        steps=steps,
    )
    options = ClipScoreOptions(selection=selection, batch_size=batch_size, device=device)
    report = evaluate_clip_score(subject, clip, options, make_progress(quiet=quiet))
    if as_json:
        print_json(report)
    else:
        _print_clip_score(report)


def _print_clip_score(report: ClipScoreReport) -> None:
    from facegen.cli.results import print_facts, print_table

    rows = [("this one", report.score, f"{report.low:.2f}–{report.high:.2f}", report.num_samples)]
    if report.real is not None:
        real = report.real
        rows.append(
            ("real faces", real["score"], f"{real['low']:.2f}–{real['high']:.2f}", real["num_samples"])
        )
    if report.chance is not None:
        rows.append(("this one, captions swapped", report.chance, "–", report.num_samples))
    print_table(f"CLIP score, {report.clip}", ("what", "score", "95 % interval", "images"), rows)
    worst = report.prompts[:WORST_PROMPTS]
    if len(report.prompts) > 1:
        print_table(
            "Prompts that fit least",
            ("prompt", "score", "images"),
            [(row["prompt"], row["score"], row["num_samples"]) for row in worst],
        )
    print_facts(
        {
            "CLIP": report.clip_fingerprint,
            "Remark": "\n".join(report.remarks) or None,
            "Saved to": report.saved_to,
        }
    )
