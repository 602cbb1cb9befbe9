"""Back to the last good weights after non-finite steps in a row, and on with the data that come next.

Data and noise belong to the step, so the same steps from the same weights would fail again: only weights,
averages and optimizer go back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.errors import StorageError
from facegen.formats.checkpoint import Checkpoint, load_checkpoint
from facegen.formats.checkpoint_head import list_checkpoints

MOST_ROLLBACKS = 5  # in one run: weights that are lost so often will be so again


@dataclass
class Rollbacks:
    """When to go back: once in a row of bad steps, at its `after`th, as far as the host has looked."""

    after: int
    made: int = 0
    seen_in_a_row: int = 0

    def is_due(self, in_a_row: int) -> bool:
        """Whether the row of bad steps has become too long since the last look."""
        before, self.seen_in_a_row = self.seen_in_a_row, in_a_row
        return before < self.after <= in_a_row

    @property
    def are_used_up(self) -> bool:
        return self.made >= MOST_ROLLBACKS

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on as a training state says; those from before there were rollbacks say of none."""
        self.made, self.seen_in_a_row = state.get("rollbacks", 0), state["bad_steps"]


def last_good_checkpoint(run: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole and was not made in the middle of bad steps; None without one.

    Those that a signal made are taken if there are no others, so that a run that was stopped goes back to
    where one that was not does.
    """
    unplanned = None
    for folder in reversed(list_checkpoints(run)):
        try:
            checkpoint = load_checkpoint(folder)
            checkpoint.verify()
            state = checkpoint.training_state()
        except StorageError:  # told and moved aside when somebody resumes from it
            continue
        if state["bad_steps"] == 0:
            if state.get("planned", True):
                return checkpoint
            unplanned = unplanned or checkpoint
    return unplanned
