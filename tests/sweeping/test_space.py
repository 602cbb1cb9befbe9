"""What a grid and a search come to, and what is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen.errors import UsageError
from facegen.sweeping.options import SweepOptions
from facegen.sweeping.space import Base, Choice, Range, combinations, extremes, name_of, read_axes


def tried(*grid: str, recipe: str = "avatars") -> list[str]:
    options = SweepOptions(grid=grid)
    return [one.name for one in combinations(Base(recipe, options), read_axes(options))]


def test_every_combination_is_a_run_named_by_what_differs() -> None:
    names = tried("optimizer.lr=1e-4,3e-4", "training.batch_size=32,64")
    assert names == [
        "lr=0.0001,batch_size=32",
        "lr=0.0001,batch_size=64",
        "lr=0.0003,batch_size=32",
        "lr=0.0003,batch_size=64",
    ]


def test_a_value_may_be_a_list_and_keys_that_end_alike_are_told_apart() -> None:
    names = tried("optimizer.betas=[0.9,0.99],[0.9,0.999]", "denoiser.kind=dit", "conditioner.kind=none")
    assert names == [
        "betas=0.9-0.99,denoiser.kind=dit,conditioner.kind=none",
        "betas=0.9-0.999,denoiser.kind=dit,conditioner.kind=none",
    ]


def test_the_recipe_has_the_values_and_what_is_shared() -> None:
    options = SweepOptions(grid=("optimizer.lr=1e-4,3e-4",), overrides=("training.seed=7",), data="here")
    recipes = [one.recipe for one in combinations(Base("avatars", options), read_axes(options))]
    assert [recipe.optimizer.lr for recipe in recipes] == [1e-4, 3e-4]
    assert {(recipe.training.seed, recipe.data.path) for recipe in recipes} == {(7, "here")}


def test_a_range_is_searched_by_its_logarithm_where_it_is_wide() -> None:
    wide, whole, narrow, values = read_axes(
        SweepOptions(
            search=(
                "optimizer.lr=1e-5..1e-3",
                "denoiser.depth=2..6",
                "ema.decay=0.9..0.99",
                "data.flip=true",
            ),
            trials=4,
        )
    )
    assert isinstance(wide, Range)
    assert (wide.low, wide.high, wide.log, wide.whole) == (1e-5, 1e-3, True, False)
    assert isinstance(whole, Range)
    assert (whole.log, whole.whole) == (False, True)
    assert isinstance(narrow, Range)
    assert not narrow.log
    assert values == Choice("data.flip", (True,))


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ("optimizer.lrr=1e-4", r"unknown key 'optimizer.lrr'. Did you mean 'lr'\?"),
        ("optimizer.lr=fast", "Input should be a valid number"),
        ("optimizer.lr=", "leaves a value out"),
        ("optimizer.lr=1e-4,,1e-3", "leaves a value out"),
        ("optimizer.lr", "takes KEY=VALUE,VALUE"),
        ("optimizer.lr=1e-4,0.0001", "each value once"),
        ("optimizer.lr=1e-4..1e-3", "a grid has values, not a range"),
        ("training.validate_every_steps=4,8", "is set by the sweep"),
        ("diffusion.parameterisation=eps,v", "measure different things"),
        ("data.path=a,b", "measure different things"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_what_is_allowed(grid: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        tried(grid)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (SweepOptions(), "Nothing to try"),
        (SweepOptions(search=("optimizer.lr=1e-5..1e-3",)), "needs to know how many runs"),
        (SweepOptions(grid=("optimizer.lr=1,2",), trials=3), "A grid is tried whole"),
        (SweepOptions(search=("optimizer.lr=1e-3..1e-5",), trials=3), "ends before it begins"),
        (SweepOptions(grid=("optimizer.lr=1,2", "optimizer.lr=3")), "given twice"),
    ],
)
def test_a_grid_or_a_search_is_to_be_told(options: SweepOptions, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_axes(options)


def test_the_ends_of_a_search_are_looked_at_before_it_begins() -> None:
    options = SweepOptions(search=("optimizer.lr=0..1e-3",), trials=2)
    with pytest.raises(UsageError, match="greater than 0"):
        extremes(Base("avatars", options), read_axes(options))


def test_a_run_of_a_search_is_named_by_its_number_and_no_value_leaves_the_folder() -> None:
    assert name_of({"optimizer.lr": 0.000123456, "a.b": "../x y"}, 3) == "03,lr=0.0001235,b=..-xy"


def test_a_recipe_in_a_file_is_taken_too(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("task: {kind: denoising}\ntraining: {max_steps: 4}\ndenoiser: {kind: dit}\n")
    assert tried("optimizer.lr=1e-4", recipe=str(file)) == ["lr=0.0001"]
