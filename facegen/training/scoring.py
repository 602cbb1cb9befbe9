"""Scores made while training: when they are due, which checkpoint they make the best, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from torch import nn

from facegen.config.recipe import BY_LOSS, ScoringConfig
from facegen.errors import UsageError
from facegen.formats.checkpoint_head import Ranking, loss_ranking
from facegen.metrics import Score
from facegen.processes import ALONE, World
from facegen.protocols import Progress
from facegen.training.logs import TrainingLog
from facegen.wording import number_text

Scores = Mapping[str, Mapping[str, Score]]
"""Kind of score ("kid", "attributes", ...) to its numbers by name, the main one first."""


class Scorer(Protocol):
    """Draws faces with the averaged module and judges them; the same requests and seeds each time.

    `judged_by` tells by fingerprints what the scores depend on beside the weights.
    """

    judged_by: dict[str, str]

    def __call__(self, module: nn.Module) -> Scores: ...


def check_scoring(config: ScoringConfig, num_steps: int, *, draws_faces: bool, task: str) -> None:
    """Refuse scores that a run of `num_steps` cannot make.

    Raises:
        UsageError: the task draws no faces, or none would be due before the run's end.
    """
    if not config.scores:
        return
    kinds = ", ".join(score.kind for score in config.scores)
    if not draws_faces:
        raise UsageError(
            f"scoring.scores: {kinds} judge drawn faces, and a model of the task '{task}' draws none.",
            hint="Its held-out numbers are in every validation; leave the scores out: "
            "--set scoring.scores=[]",
        )
    if config.every_steps > num_steps:
        raise UsageError(
            f"scoring.every_steps is {config.every_steps:,}, and the run has {num_steps:,} steps: nothing "
            "would be scored before its end.",
            hint=f"--set scoring.every_steps={max(1, num_steps // 10)}",
        )


class Scoring:
    """Makes the scores of a run with `scorer` (None: there are none), and remembers how the number that
    decides came along: its best value, and how often in a row it was measured since without getting better.
    """

    def __init__(
        self, config: ScoringConfig, scorer: Scorer | None, progress: Progress, world: World = ALONE
    ) -> None:
        self._config, self._scorer, self._progress, self._world = config, scorer, progress, world
        self._judged_by = world.share({} if scorer is None else scorer.judged_by)
        self._scores = world.share(scorer is not None)
        self.last: dict[str, float] = {}  # the newest scores
        self.scores: dict[str, float] = {}  # of the current step, else empty
        self.chosen: Ranking | None = None  # of them the one that decides, if one does
        self._best: Ranking | None = None
        self._best_step = 0
        self._num_since_best = 0

    @property
    def stopped(self) -> str | None:
        """Why the run is to stop early; None to go on."""
        patience, best = self._config.stop_after, self._best
        if patience is None or self._num_since_best < patience:
            return None
        reached = "was never finite" if best is None else f"was best at step {self._best_step:,}"
        return (
            f"{self._config.best_by} {reached}"
            f"{'' if best is None else f' ({number_text(best.value)})'} and did not get better in "
            f"{self._num_since_best} measurements since"
        )

    def begin_step(self) -> None:
        """Forget the scores of the step before."""
        self.scores, self.chosen = {}, None

    def is_due(self, step: int, *, last: bool) -> bool:
        """Whether faces are scored after `step`; they are after the last one."""
        return self._scores and (step % self._config.every_steps == 0 or last)

    def score(self, module: nn.Module, step: int, log: TrainingLog) -> None:
        """Draw faces with the averaged `module`, judge them, log and tell the scores."""
        assert self._scorer is not None
        found = self._scorer(module)
        self.scores = {name: score.value for each in found.values() for name, score in each.items()}
        self.last = self.scores
        if self._config.best_by in found:
            name, main = next(iter(found[self._config.best_by].items()))
            self.chosen = Ranking(name, main.value, main.better)
        log.write(step, "scores", self.scores)
        told = ", ".join(f"{name} {number_text(value)}" for name, value in self.scores.items())
        self._progress.say(
            f"Step {step}: {told} of {self._config.num_images} faces: compare within this run only."
        )

    def take_note(self, step: int, validation: Mapping[str, Any], log: TrainingLog) -> Ranking | None:
        """What was measured at `step` of the number that decides; None if it was not measured.

        Tells and logs why the run stops, if it does.
        """
        found = loss_ranking(validation) if self._config.best_by == BY_LOSS else self.chosen
        if found is None:
            return None
        if found.beats(self._best):
            self._best, self._best_step, self._num_since_best = found, step, 0
        else:
            self._num_since_best += 1
        if self.stopped is not None:
            log.write(step, "stop", {"reason": self.stopped})
            self._progress.say(f"Step {step}: stopped early, as {self.stopped}.")
        return found

    def follow(self) -> None:
        """Know what the first process, which alone draws and judges, has found at this step."""
        mine = (self.last, self.scores, self.chosen, self._best, self._best_step, self._num_since_best)
        told = self._world.share(mine)
        self.last, self.scores, self.chosen, self._best, self._best_step, self._num_since_best = told

    def state(self) -> dict[str, Any]:
        """Plain data, for the training state of a checkpoint."""
        return {
            "judged_by": self._judged_by,
            "last": self.last,
            "best": None if self._best is None else asdict(self._best),
            "best_step": self._best_step,
            "num_since_best": self._num_since_best,
        }

    def load_state(self, state: Mapping[str, Any] | None) -> None:
        """Go on from `state`; None is of a run from before there were scores.

        Raises:
            UsageError: the judges or the reference are others now.
        """
        if state is None:
            return
        now, before = self._judged_by, state["judged_by"]
        differing = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        if differing:
            raise UsageError(
                f"The scores of this run were made with another {' and another '.join(differing)}: new ones "
                "would not compare.",
                hint="Put the former one back, or start a new run in another folder.",
            )
        self.last = dict(state["last"])
        self._best = None if state["best"] is None else Ranking(**state["best"])
        self._best_step, self._num_since_best = state["best_step"], state["num_since_best"]
