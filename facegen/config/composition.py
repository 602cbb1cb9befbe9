"""Putting a recipe together: schema defaults < preset < `--config FILE` < `--set key.path=value`."""

from __future__ import annotations

import contextlib
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

from facegen.config.documents import DEEPEST, parse_yaml
from facegen.config.kinds import trust
from facegen.config.recipe import Recipe, parse_recipe
from facegen.errors import UsageError, did_you_mean

PRESETS = files("facegen.config") / "presets"
ALTERNATIVES = (("max_steps", "epochs"), ("checkpoint_every_steps", "checkpoint_every_epochs"))
SMOKE_KEY = "smoke"  # the overrides of a preset or file that make it train in seconds on a CPU


def preset_names() -> list[str]:
    """Names of the presets that ship with facegen, sorted."""
    names = (entry.name for entry in PRESETS.iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The YAML of a preset, comments included.

    Raises:
        UsageError: no such preset.
    """
    known = preset_names()
    if name not in known:
        raise UsageError(
            f"Unknown preset '{name}'.{did_you_mean(name, known)}", hint=f"Presets: {', '.join(known)}"
        )
    return (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")


def compose(
    preset: str | None = None,
    config_file: Path | None = None,
    overrides: list[str] | tuple[str, ...] = (),
    *,
    size: str = "full",
) -> Recipe:
    """Compose and validate a recipe. `size="smoke"` applies the smoke overrides of preset and file.

    Raises:
        UsageError: nothing to start from, unreadable YAML, unknown keys or values.
    """
    if preset is None and config_file is None:
        raise UsageError("Name a preset or a config file.", hint=f"Presets: {', '.join(preset_names())}")
    data: dict[str, Any] = {}
    if preset is not None:
        data = load_yaml(preset_text(preset), f"preset '{preset}'")
        data = {**_at_size(data, size), "preset": preset}
    if config_file is not None:
        if not config_file.is_file():
            raise UsageError(f"Config file '{config_file}' does not exist.")
        layer = load_yaml(config_file.read_bytes(), f"'{config_file}'")
        data = merge(data, _at_size(layer, size))
    for override in overrides:
        data = merge(data, parse_override(override))
    trust(data)  # written by whoever calls
    return parse_recipe(data)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on top; sections merge, values replace, another `kind` starts anew.

    A layer that names one of `ALTERNATIVES`, such as `max_steps`, replaces a lower layer's other one.
    """
    merged = deepcopy(base)
    for key, value in over.items():
        for pair in ALTERNATIVES:
            if key in pair and value is not None:
                merged = {name: old for name, old in merged.items() if name not in pair}
        old = merged.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and _same_kind(value, old):
            merged[key] = merge(old, value)
        else:
            merged[key] = deepcopy(value)
    return merged


def _at_size(layer: dict[str, Any], size: str) -> dict[str, Any]:
    full = {key: value for key, value in layer.items() if key != SMOKE_KEY}
    changes: Any = layer.get(SMOKE_KEY) or {}
    if not isinstance(changes, dict):
        raise UsageError(f"'{SMOKE_KEY}' holds settings that replace those of the recipe, not '{changes}'.")
    return merge(full, changes) if size == "smoke" else full


def _same_kind(section: dict[str, Any], old: dict[str, Any]) -> bool:
    return section.get("kind", old.get("kind")) == old.get("kind")


def parse_override(override: str) -> dict[str, Any]:
    """ "optimizer.lr=2e-4" as nested sections with a value of YAML's types.

    Raises:
        UsageError: it has another form.
    """
    path, separator, text = override.partition("=")
    if not separator or not path.strip() or path.count(".") > DEEPEST:
        raise UsageError(
            f"--set takes key.path=value, not '{override}'.", hint="Example: --set optimizer.lr=2e-4"
        )
    try:
        value: Any = parse_yaml(text)
    except ValueError as error:
        raise UsageError(
            f"--set {override}: the value is not valid YAML.",
            hint="Brackets and quotes have to be closed; to the shell, quote the whole: --set 'a.b=[c, d]'",
        ) from error
    if isinstance(value, dict) and not text.lstrip().startswith("{"):  # words with a colon in them
        value = text.strip()
    if isinstance(value, str):  # YAML 1.1 reads 2e-4 as a word
        with contextlib.suppress(ValueError):
            value = float(value)
    *sections, key = path.strip().split(".")
    nested: dict[str, Any] = {key: value}
    for section in reversed(sections):
        nested = {section: nested}
    return nested


def load_yaml(text: str | bytes, where: str) -> dict[str, Any]:
    """A mapping from YAML text, or from bytes in UTF-8 or UTF-16; `where` is the subject of what is said.

    Raises:
        UsageError: not YAML, or no mapping.
    """
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise UsageError(
            f"{where} is not valid YAML: {error}",
            hint="It has to be UTF-8 or UTF-16 text, with every section once.",
        ) from error
    if not isinstance(data, dict):
        raise UsageError(f"{where} must be a mapping of sections, not {type(data).__name__}.")
    return data
