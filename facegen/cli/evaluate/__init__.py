"""`facegen eval`: what it says, and its subcommands in order."""

from __future__ import annotations

from facegen.cli.command import Group
from facegen.cli.evaluate import answers, scores

GROUP = Group(
    "eval",
    """Score a generator: how close to real faces, how often as asked.

    Reports of a run are also kept in RUN/evaluations.
    """,
    (
        *scores.DISTRIBUTION,
        scores.diversity,
        answers.attributes,
        answers.control,
        answers.edit,
        scores.clip_score,
        scores.ladder,
        scores.metric,
        scores.memorization,
        scores.reconstruction,
        scores.loss,
        answers.subgroups,
        answers.classifier,
    ),
)
