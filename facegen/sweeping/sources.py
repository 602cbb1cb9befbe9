"""Where the runs come from: all of a grid, or one by one from Optuna, which learns by what came of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from facegen.errors import UsageError
from facegen.sweeping.space import Base, Candidate, Choice, Range, name_of

JOURNAL = "study.journal"
STARTED_BY_CHANCE = 3  # one trial in so many, before the others follow what came of them


class Source(Protocol):
    """Hands out the runs, those of earlier calls first."""

    total: int

    def first(self) -> list[Candidate]:
        """Those known before any is trained; of a search the ends of what it may choose."""
        ...

    def take(self) -> Candidate | None:
        """The next run; None where there is none any more."""
        ...

    def tell(self, name: str, losses: dict[int, float], *, stopped: bool) -> None:
        """What came of a run: its held-out losses by check."""
        ...


class Grid:
    """Every combination, in order."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.total, self._all = len(candidates), list(candidates)
        self._left = list(candidates)

    def first(self) -> list[Candidate]:
        return self._all

    def take(self) -> Candidate | None:
        return self._left.pop(0) if self._left else None

    def tell(self, name: str, losses: dict[int, float], *, stopped: bool) -> None:
        """A grid learns nothing."""


def check_optuna() -> None:
    """Refuse a search where Optuna is not installed.

    Raises:
        UsageError: says how to install it.
    """
    if find_spec("optuna") is None:
        raise UsageError(
            "A search needs the package 'optuna', which is not installed.",
            hint="Install it: pip install 'facegen[sweep]'; or try a grid: --grid optimizer.lr=1e-4,3e-4",
        )


class Study:
    """Optuna's tree-structured Parzen estimator over `axes`, kept in `out` so that it goes on."""

    def __init__(
        self, base: Base, axes: Sequence[Range | Choice], ends: Sequence[Candidate], trials: int, out: Path
    ) -> None:
        check_optuna()
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._base, self.total, self._ends = optuna, base, trials, list(ends)
        storage = JournalStorage(JournalFileBackend(str(out / JOURNAL)))
        self._study = optuna.create_study(
            storage=storage, study_name="sweep", direction="minimize", load_if_exists=True
        )
        known = self._study.get_trials(deepcopy=False)
        # as many as were chosen before are skipped, so that a search gone on with does not repeat itself
        self._study.sampler = optuna.samplers.TPESampler(
            seed=base.recipe.training.seed + len(known), n_startup_trials=max(2, trials // STARTED_BY_CHANCE)
        )
        self._space = {axis.key: _distribution(optuna, axis) for axis in axes}
        self._lists = {axis.key: axis for axis in axes if isinstance(axis, Choice)}
        self._left = [self._candidate(trial.number, trial.params) for trial in known]
        self._numbers: dict[str, int] = {one.name: number for number, one in enumerate(self._left)}

    def first(self) -> list[Candidate]:
        return self._ends

    def take(self) -> Candidate | None:
        if self._left:
            return self._left.pop(0)
        if len(self._numbers) >= self.total:
            return None
        trial = self._study.ask(self._space)
        found = self._candidate(trial.number, trial.params)
        self._numbers[found.name] = trial.number
        return found

    def _candidate(self, number: int, params: dict[str, Any]) -> Candidate:
        settings = {key: json.loads(value) if key in self._lists else value for key, value in params.items()}
        return self._base.of(name_of(settings, number), settings)

    def tell(self, name: str, losses: dict[int, float], *, stopped: bool) -> None:
        number, state = self._numbers[name], self._optuna.trial.TrialState
        known = self._study.get_trials(deepcopy=False)[number]
        if known.state.is_finished():
            return
        losses = {check: loss for check, loss in losses.items() if math.isfinite(loss)}
        if not losses:
            self._study.tell(number, state=state.FAIL)
        elif stopped:
            trial = self._optuna.trial.Trial(self._study, known._trial_id)
            for check, loss in losses.items():
                trial.report(loss, check)
            self._study.tell(number, state=state.PRUNED)
        else:
            self._study.tell(number, losses[max(losses)])


def _distribution(optuna: Any, axis: Range | Choice) -> Any:
    if isinstance(axis, Choice):  # lists are no choices of Optuna's, their text is
        return optuna.distributions.CategoricalDistribution([json.dumps(value) for value in axis.values])
    kinds = optuna.distributions
    kind = kinds.IntDistribution if axis.whole else kinds.FloatDistribution
    return kind(axis.low, axis.high, log=axis.log)
