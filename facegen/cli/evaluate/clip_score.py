"""`facegen eval clip-score`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.evaluate.options import Subject
from facegen.cli.results import print_facts, print_table
from facegen.evaluation.options import ClipScoreOptions
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.evaluation.clip_score import ClipScoreReport
    from facegen.protocols import Progress

WORST_PROMPTS = 10


def _print(report: ClipScoreReport) -> None:
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


@command(_print)
def clip_score(
    subject: Subject,
    clip: Annotated[str, Option("Hub name or local folder of a CLIP of transformers.")],
    options: ClipScoreOptions,
    progress: Progress,
) -> ClipScoreReport:
    """Score how well faces fit the words they were asked for with, by a CLIP of your choice.

    100 times the cosine of image and caption, clipped at 0, for each prompt and in the mean. Scores compare
    only under the same CLIP.

        facegen eval clip-score run --clip openai/clip-vit-base-patch32
        facegen eval clip-score my_images --clip my_clip --prompt "a man"
    """
    from facegen.evaluation.clip_score import evaluate_clip_score

    return evaluate_clip_score(subject, clip, options, progress)
