"""Pages about every key of a recipe, made from its schema, and about every preset."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from facegen.config.composition import SMOKE_KEY, preset_names, preset_text
from facegen.config.documents import parse_yaml
from facegen.config.schema import recipe_schema

FOLDER = "reference/recipes/"
HEAD = """# Recipes

What `facegen train` trains by, key by key. `--set training.max_steps=500` sets one for a run, a file for
`--config` any of them, and [presets](presets.md) are such files that ship with facegen. How the three are
put together tells [Training](../../training.md#recipes).
"""
PRESETS = """# Presets

Any of them is a `--preset` of `facegen train`; `facegen config copy NAME my.yaml` starts a recipe of your
own from it. Their first lines tell what was measured. `smoke` is what `--size smoke` puts in place, to try
a pipeline out.
"""
TYPES = {
    "string": "text",
    "boolean": "`true` or `false`",
    "number": "a number",
    "integer": "a whole number",
    "null": "`null`",
}
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}
Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """Where each page stands, and its markdown."""
    schema, used = recipe_schema(), _values_of_presets()
    presets = [f"## {name}\n\n```yaml\n{preset_text(name)}```" for name in preset_names()]
    made = {f"{FOLDER}presets.md": "\n\n".join([PRESETS, *presets])}
    index, known = [HEAD], schema["$defs"]
    for name, key in schema["properties"].items():
        if name != SMOKE_KEY and _objects(key, known):
            made[f"{FOLDER}{name}.md"] = "\n\n".join([f"# {name}", *_section(name, key, known, used)])
            told = key.get("description") or _objects(key, known)[0]["description"]
            index.append(f"## {name}\n\n{told}\n\n[Every key of `{name}`]({name}.md)")
        else:
            index.append(_told(name, key, {}))
    return {f"{FOLDER}index.md": "\n\n".join(index), **made}


def _section(path: str, key: Schema, known: Schema, used: Any) -> Iterator[str]:
    """What a section is for and its keys; of one with kinds, those of each kind."""
    objects = _objects(key, known)
    for of_kind in objects:
        kind = of_kind["properties"].get("kind", {}).get("const", "") if len(objects) > 1 else ""
        if kind:
            yield f"## {path}.kind: {kind}"
        yield of_kind.get("description", "")
        for name, inner in of_kind["properties"].items():
            if kind and name == "kind":
                continue
            dotted = f"{path}.{name}"
            yield _told(dotted, inner, used[kind, dotted], f"{kind}-{dotted}")
            yield from _section(dotted, inner, known, used)


def _told(dotted: str, key: Schema, used: Schema, anchor: str = "") -> str:
    """One key: what it means, what it may be, what it is if left out, and in presets."""
    facts = _type(key)
    if not isinstance(key.get("default", {}), dict):
        facts += f"; left out: `{json.dumps(key['default'])}`"
    facts = f"{facts[:1].upper()}{facts[1:]}."
    level = "###" if "." in dotted else "##"
    parts = [f"{level} {dotted} {{ #{anchor or dotted} }}", key.get("description", ""), facts]
    if used:
        count = sum(map(len, used.values()))
        lines = [f"    - `{value}`: {', '.join(names)}" for value, names in used.items()]
        parts.append("\n".join([f'??? example "In {count} preset{"s" * (count > 1)}"', "", *lines]))
    return "\n\n".join(filter(None, parts))


def _objects(key: Schema, known: Schema) -> list[Schema]:
    """The mappings that a key may hold, whose keys have names."""
    ways = [key.get("items", key), *key.get("anyOf", [])]
    return [known[way["$ref"].removeprefix("#/$defs/")] for way in ways if "$ref" in way]


def _type(key: Schema) -> str:
    """What a key may hold, in words."""
    if "anyOf" in key:
        ways = list(dict.fromkeys(_type(way) for way in key["anyOf"]))
        return (", or " if "," in "".join(ways) else " or ").join(ways)
    if "enum" in key or "const" in key:
        return " or ".join(f"`{json.dumps(value)}`" for value in key.get("enum", [key.get("const")]))
    if "$ref" in key or key.get("type") == "object":
        own = "pattern" in key.get("properties", {}).get("kind", {})
        return "a kind of your own, `package.module:Name`" if own else "a section of keys"
    if key.get("type") == "array":
        items = key.get("prefixItems", [])
        many = f" of {len(items)}" if items else ""
        return f"a list{many}, each {_type(items[0] if items else key.get('items', {}))}"
    bounds = [f"{words} {key[bound]}" for bound, words in BOUNDS.items() if bound in key]
    return ", ".join([TYPES.get(key.get("type", ""), "anything"), *bounds])


def _values_of_presets() -> dict[tuple[str, str], dict[str, list[str]]]:
    """By kind and dotted key, which presets set which value."""
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for preset in preset_names():
        recipe: Any = parse_yaml(preset_text(preset))
        for kind, dotted, value in _leaves({name: one for name, one in recipe.items() if name != SMOKE_KEY}):
            found[kind, dotted][json.dumps(value)].append(preset)
    return found


def _leaves(section: Schema, path: str = "", kind: str = "") -> Iterator[tuple[str, str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            inner = value.get("kind", kind) if f"{path}{name}" != "optimizer" else ""
            yield from _leaves(value, f"{path}{name}.", inner)
        else:
            yield kind, path + name, value
