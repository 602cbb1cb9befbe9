"""Where a run stands at each of its steps, whatever was changed on the way.

Between two changes a run is a segment, of one batch size, length and schedule of the learning rate.
The stream of examples goes on in images, not in steps: after a change of the batch size it stands where the
former batches had left it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facegen.config.recipe import OptimizerConfig, Recipe, TrainingConfig
from facegen.formats.history import AfterDecay, RunEvent, with_changes, without_changes
from facegen.training.optimizer import RateSchedule


@dataclass(frozen=True)
class _Segment:
    """Steps from `step` on; `images` and `share` of the run lie behind them, which ends at `end`."""

    step: int
    images: int
    share: float
    end: int
    batch_size: int
    rates: RateSchedule

    def position(self, step: int) -> int:
        return self.images + (step - self.step) * self.batch_size

    def share_at(self, step: int) -> float:
        if step >= self.end:
            return 1.0
        return self.share + (1 - self.share) * ((step - self.step) / (self.end - self.step))


class RunHistory:
    """Batch size, place in the stream of examples and learning rate of every step (from 0) of a run.

    `recipe` is the one of now, `events` what was changed since the start, `num_examples` those of an epoch.
    """

    def __init__(self, recipe: Recipe, num_examples: int, events: Sequence[RunEvent] = ()) -> None:
        self._num_examples = num_examples
        data = without_changes(recipe.model_dump(mode="json"), events)
        self._segments = [self._first(data)]
        for event in events:
            data = with_changes(data, [event])
            self._segments.append(self._after(self._segments[-1], event.step, data, event.after_decay))
        self._begins = [segment.step for segment in self._segments]

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self._segments[-1].end

    def batch_size(self, step: int) -> int:
        """Examples of step `step`."""
        return self._at(step).batch_size

    def position(self, step: int) -> int:
        """Examples seen before step `step`: its place in the endless stream of them."""
        return self._at(step).position(step)

    def learning_rate(self, step: int) -> float:
        """Learning rate of step `step`, as `RateSchedule` says."""
        return self._at(step).rates.rate(step)

    def share(self, step: int) -> float:
        """Share of the run behind step `step`, in [0, 1]; never falls, also where the run is extended.

        Phases of a run are told in shares. After an extension what was left is stretched over the new rest.
        """
        return self._at(step).share_at(step)

    def decay_is_over(self, step: int) -> bool:
        """Whether the learning rate had come to the end of its decay before step `step`."""
        return self._at(step).rates.is_over(step)

    def rate_is_held(self, step: int) -> bool:
        """Whether the learning rate stays at step `step` where a decay that had ended left it."""
        return self._at(step).rates.is_held

    def _at(self, step: int) -> _Segment:
        return self._segments[bisect_right(self._begins, step) - 1]

    def _first(self, data: dict[str, Any]) -> _Segment:
        training, optimizer = _sections(data)
        end = self._end(training, 0, 0)
        rates = RateSchedule.over(optimizer, 0, end)
        return _Segment(0, 0, 0.0, end, training.batch_size, rates)

    def _after(
        self, before: _Segment, step: int, data: dict[str, Any], after_decay: AfterDecay | None
    ) -> _Segment:
        training, optimizer = _sections(data)
        images = before.position(step)
        end = self._end(training, step, images)
        rates = before.rates.changed(step, optimizer, end, after_decay)
        return _Segment(step, images, before.share_at(step), end, training.batch_size, rates)

    def _end(self, training: TrainingConfig, step: int, images: int) -> int:
        """Steps of the whole run, where `images` were seen in the first `step` of them."""
        if training.max_steps is not None:
            return training.max_steps
        left = (training.epochs or 1) * self._num_examples - images
        return step + max(0, -(-left // training.batch_size))


def _sections(data: dict[str, Any]) -> tuple[TrainingConfig, OptimizerConfig]:
    return TrainingConfig.model_validate(data["training"]), OptimizerConfig.model_validate(data["optimizer"])
