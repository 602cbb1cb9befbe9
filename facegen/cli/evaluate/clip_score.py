"""`facegen eval clip-score`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from facegen.cli.command import command
from facegen.cli.evaluate.options import Subject
from facegen.cli.results import print_evaluation
from facegen.evaluation.options import ClipScoreOptions
from facegen.options import Option

if TYPE_CHECKING:
    from facegen.evaluation.clip_score import ClipScoreReport
    from facegen.protocols import Progress


@command(print_evaluation)
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
