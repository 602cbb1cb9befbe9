"""`facegen eval`: what it says, and its subcommands in order."""

from __future__ import annotations

from facegen.cli.command import Group
from facegen.cli.evaluate import (
    attributes,
    classifier,
    clip_score,
    control,
    distribution,
    memorization,
    metric,
    reconstruction,
    subgroups,
)

GROUP = Group(
    "eval",
    """Score a generator: how close to real faces, how often as asked.

    Reports of a run are also kept in RUN/evaluations.
    """,
    (
        *distribution.COMMANDS,
        attributes.attributes,
        control.control,
        clip_score.clip_score,
        metric.metric,
        memorization.memorization,
        reconstruction.reconstruction,
        subgroups.subgroups,
        classifier.classifier,
    ),
)
