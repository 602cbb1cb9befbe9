"""Where the runs come from: a grid hands out all, Optuna's study goes on where it stood."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen.errors import UsageError
from facegen.sweeping import sources
from facegen.sweeping.options import SweepOptions
from facegen.sweeping.sources import Grid, Study
from facegen.sweeping.space import Base, combinations, extremes, read_axes

SEARCH = SweepOptions(search=("optimizer.lr=1e-5..1e-3", "optimizer.betas=[0.9,0.99],[0.9,0.999]"), trials=3)


def study(out: Path, trials: int = 3) -> Study:
    base, axes = Base("avatars", SEARCH), read_axes(SEARCH)
    return Study(base, axes, extremes(base, axes), trials, out)


def test_a_grid_hands_out_each_run_once() -> None:
    options = SweepOptions(grid=("optimizer.lr=1e-4,3e-4",))
    grid = Grid(combinations(Base("avatars", options), read_axes(options)))
    assert grid.total == 2
    taken = [grid.take() for _ in range(3)]
    assert [None if one is None else one.name for one in taken] == ["lr=0.0001", "lr=0.0003", None]


def test_a_search_that_is_gone_on_with_hands_out_its_runs_again_and_then_new_ones(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra 'sweep' is not installed")
    before = study(tmp_path)
    first, second = before.take(), before.take()
    assert first is not None
    assert second is not None
    assert 1e-5 <= first.recipe.optimizer.lr <= 1e-3
    assert first.settings["optimizer.betas"] in ([0.9, 0.99], [0.9, 0.999])
    before.tell(first.name, {1: 2.0, 2: 1.0}, stopped=False)
    before.tell(second.name, {1: 3.0}, stopped=True)

    after = study(tmp_path)
    taken = [after.take() for _ in range(4)]
    names = [None if one is None else one.name for one in taken]
    assert names[:2] == [first.name, second.name]
    assert names[2] is not None
    assert names[3] is None
    after.tell(first.name, {2: 9.0}, stopped=False)  # was told before
    after.tell(names[2], {}, stopped=True)
    trials = after._study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert trials[0].value == 1.0
    assert trials[1].intermediate_values == {1: 3.0}


def test_without_optuna_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'facegen\[sweep\]'"):
        sources.check_optuna()
