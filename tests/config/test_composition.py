"""Recipes: layering, refusals with the nearest key, and every shipped preset in both sizes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from facegen.config.composition import compose, merge, preset_names, preset_text
from facegen.config.recipe import parse_recipe
from facegen.errors import UsageError

LEAVES = [
    ("optimizer", "lr", "optimiser_lr"),
    ("optimizer", "lr", "lrr"),
    ("training", "batch_size", "batchsize"),
    ("diffusion", "schedule", "schedul"),
    ("data", "flip", "flips"),
]


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("size", ["full", "smoke"])
def test_every_preset_composes_and_survives_a_yaml_round_trip(name: str, size: str) -> None:
    recipe = compose(name, size=size)
    again = parse_recipe(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json"))))
    assert again == recipe


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_opens_with_what_it_is_and_its_command(name: str) -> None:
    opening = preset_text(name).split("task:")[0]
    assert opening.startswith("#")
    assert f"facegen train --preset {name}" in opening


def test_later_layers_win(tmp_path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("optimizer: {lr: 0.5, weight_decay: 0.25}\n", encoding="utf-8")
    recipe = compose("avatars", config, ["optimizer.lr=2e-4"])
    assert recipe.optimizer.lr == 2e-4
    assert recipe.optimizer.weight_decay == 0.25
    assert recipe.optimizer.betas == compose("avatars").optimizer.betas


def test_checkpoints_come_by_steps_or_by_epochs_and_the_later_layer_says_which() -> None:
    def intervals(*overrides: str) -> tuple[int | None, int | None]:
        training = compose("avatars", overrides=overrides).training
        return training.checkpoint_every_steps, training.checkpoint_every_epochs

    by_epochs, by_steps = "training.checkpoint_every_epochs=10", "training.checkpoint_every_steps=7"
    assert intervals(by_epochs) == (None, 10)
    assert intervals(by_epochs, by_steps) == (7, None)
    assert intervals("training.checkpoint_every_steps=null") == (1000, None)
    both = {"max_steps": 1, "checkpoint_every_steps": 1, "checkpoint_every_epochs": 1}
    with pytest.raises(UsageError, match="one of 'checkpoint_every_steps' and 'checkpoint_every_epochs'"):
        parse_recipe({"task": {"kind": "denoising"}, "training": both})


@pytest.mark.parametrize(("section", "known", "typo"), LEAVES)
def test_an_unknown_key_is_refused_with_the_allowed_ones(section: str, known: str, typo: str) -> None:
    with pytest.raises(UsageError, match=f"unknown key '{section}.{typo}'") as caught:
        compose("avatars", overrides=[f"{section}.{typo}=1"])
    assert known in str(caught.value)


def test_an_unknown_key_of_a_kind_section_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown key 'dephh'") as caught:
        compose("avatars", overrides=["denoiser.dephh=3"])
    assert "Did you mean 'depth'" in str(caught.value)


@given(value=st.one_of(st.text(max_size=8), st.lists(st.integers(), max_size=2), st.floats(max_value=0)))
def test_a_learning_rate_that_is_no_positive_finite_number_is_refused(value: object) -> None:
    data = yaml.safe_load(preset_text("avatars"))
    data.pop("smoke", None)
    data.setdefault("optimizer", {})["lr"] = value
    try:
        accepted = 0 < float(value) < math.inf  # type: ignore[arg-type]
    except (TypeError, ValueError):
        accepted = False
    if accepted:
        assert parse_recipe(data).optimizer.lr > 0
    else:
        with pytest.raises(UsageError):
            parse_recipe(data)


def test_naming_steps_replaces_epochs_and_the_other_way_round() -> None:
    by_epochs = compose("avatars", overrides=["training.epochs=3"])
    assert (by_epochs.training.epochs, by_epochs.training.max_steps) == (3, None)
    by_steps = compose("avatars", overrides=["training.epochs=3", "training.max_steps=7"])
    assert (by_steps.training.epochs, by_steps.training.max_steps) == (None, 7)


def test_changing_a_kind_starts_its_section_anew() -> None:
    merged = merge({"denoiser": {"kind": "dit", "depth": 6}}, {"denoiser": {"kind": "unet"}})
    assert merged["denoiser"] == {"kind": "unet"}


@pytest.mark.parametrize("override", ["optimizer.lr", "=3", "optimizer.lr=banana", "training.max_steps=0"])
def test_a_malformed_override_is_a_usage_error(override: str) -> None:
    with pytest.raises(UsageError):
        compose("avatars", overrides=[override])


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'avatars'"):
        compose("avatar")


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        compose("avatars").training.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("size", ["full", "smoke"])
def test_a_preset_written_to_a_file_is_a_config_file(size: str, tmp_path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(preset_text("avatars"), encoding="utf-8")
    recipe = compose(config_file=config, size=size)
    assert recipe.model_dump(exclude={"preset"}) == compose("avatars", size=size).model_dump(
        exclude={"preset"}
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_any_unicode_encoding(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes("about: René\n".encode(encoding))
    assert compose("celeba-attributes", file).about == "René"


def test_files_that_are_no_unicode_or_name_a_section_twice_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes("about: René\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"my.yaml' is not valid YAML[\s\S]*UTF-8 or UTF-16"):
        compose("celeba-attributes", file)
    file.write_text("training:\n  batch_size: 8\nabout: x\ntraining:\n  max_steps: 9\n")
    with pytest.raises(UsageError, match=r"'training' stands there twice[\s\S]*line 4"):
        compose("celeba-attributes", file)


@pytest.mark.parametrize(
    "text", ["training.trackers=[tensorboard", "about='it", "a.b={c", "a.b=[" + "[" * 5000]
)
def test_a_value_with_an_open_bracket_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the value is not valid YAML"):
        compose("celeba-attributes", overrides=[text])


def test_words_with_a_colon_stay_words() -> None:
    assert compose("celeba-attributes", overrides=["about=it's: fine"]).about == "it's: fine"
