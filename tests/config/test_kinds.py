"""Kinds are found by their names, in either spelling."""

from __future__ import annotations

import math
import re

import pytest

from facegen.config.kinds import kind_config, load_kind, spelt
from facegen.config.recipe import SamplingConfig
from facegen.errors import UsageError
from facegen.models.generator import sampling_with


@pytest.mark.parametrize("typed", ["image-folder", "image_folder"])
def test_a_kind_is_found_with_dashes_and_underscores(typed: str) -> None:
    assert spelt("datasets", typed) == "image-folder"
    assert kind_config("datasets", {"kind": typed}).kind == "image-folder"


@pytest.mark.parametrize(
    ("family", "typed"), [("datasets", "image_fodler"), ("datasets", "celeba-hp"), ("samplers", "dpmpp-2n")]
)
def test_what_is_suggested_is_accepted(family: str, typed: str) -> None:
    with pytest.raises(UsageError) as refusal:
        load_kind(family, typed)
    suggested = re.search(r"Did you mean '([^']+)'", str(refusal.value))
    assert suggested is not None
    assert kind_config(family, {"kind": suggested[1]}).kind == suggested[1]
    assert refusal.value.hint is not None
    for known in refusal.value.hint.removeprefix("Known kinds: ").split(";")[0].split(", "):
        assert spelt(family, known) == known


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_settings_are_finite(number: float) -> None:
    with pytest.raises(UsageError, match="should be a finite number"):
        kind_config("samplers", {"kind": "ddim", "eta": number})
    with pytest.raises(UsageError, match="should be a finite number"):
        sampling_with(SamplingConfig(), {"guidance_scale": number})
