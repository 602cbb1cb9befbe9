"""The JSON schema says of recipes what facegen says of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from facegen.config.composition import compose, preset_names, preset_text
from facegen.config.schema import recipe_schema


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    whole = recipe_schema()
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_and_its_resolved_recipe_hold(schema: Draft202012Validator, name: str) -> None:
    written = yaml.safe_load(preset_text(name))
    assert not list(schema.iter_errors(written))
    assert not list(schema.iter_errors(compose(name).model_dump(mode="json")))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optimiser", {"lr": 1e-4}),
        ("optimizer.lr", "fast"),
        ("optimizer.lr", -1.0),
        ("training.precision", "fp8"),
        ("denoiser.kind", "dit2"),
        ("denoiser.widht", 64),
        ("sampling.sampler.kind", "dpm"),
        ("smoke.training.max_stepz", 2),
    ],
)
def test_what_facegen_refuses_the_schema_refuses(schema: Draft202012Validator, path: str, value: Any) -> None:
    recipe = deepcopy(yaml.safe_load(preset_text("avatars")))
    *sections, key = path.split(".")
    section = recipe
    for name in sections:
        section = section.setdefault(name, {})
    section[key] = value
    assert list(schema.iter_errors(recipe))


def test_a_kind_of_somebodys_own_may_have_any_keys(schema: Draft202012Validator) -> None:
    assert not list(schema.iter_errors({"denoiser": {"kind": "mylab.nets:MyNet", "width": 3}}))


def test_every_key_says_what_it_is() -> None:
    whole = recipe_schema()
    sections = {name: one["properties"] for name, one in whole["$defs"].items() if name != "Recipe"}
    silent = [
        f"{name}.{key}"
        for name, keys in sections.items()
        for key, one in keys.items()
        if key != "kind" and not one.get("description")
    ]
    assert silent == []
    assert len(sections) > 35
