"""The JSON schema of a recipe's YAML, for editors that complete and check it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from facegen.config.kinds import kinds_of, load_kind, spelt
from facegen.config.recipe import FAMILY_OF_SECTION, Recipe

SCHEMA_FILE = "recipe.schema.json"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
OUTSIDE_KIND = {"type": "string", "pattern": ":"}


def recipe_schema() -> dict[str, Any]:
    """Every section with its keys, and those of each kind that ships with facegen; nothing is required, as a
    file may be laid over a preset and defaults fill in the rest."""
    schema = Recipe.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    for section, family in FAMILY_OF_SECTION.items():
        schema["properties"][section] = _of_kinds(family, definitions, schema["properties"][section])
    sampling = definitions["SamplingConfig"]["properties"]
    sampling["sampler"] = _of_kinds("samplers", definitions, sampling["sampler"])
    for definition in (schema, *definitions.values()):
        definition.pop("required", None)
    recipe = {**schema, "title": "Recipe"}
    smoke = {"description": "What is otherwise with --size smoke.", "$ref": "#/$defs/Recipe"}
    definitions["Recipe"] = recipe
    properties = {**recipe["properties"], "smoke": smoke}
    return {"$schema": DRAFT, **recipe, "properties": properties, "$defs": definitions}


def _of_kinds(family: str, definitions: dict[str, Any], key: dict[str, Any]) -> dict[str, Any]:
    """For a section `key`, any kind of a family: which keys it may have goes by its `kind`."""
    ways: list[dict[str, Any]] = []
    for name in kinds_of(family):
        of_kind = TypeAdapter(load_kind(family, spelt(family, name)).Config).json_schema(
            ref_template=f"#/$defs/{family}.{name}.{{model}}"
        )
        inner = of_kind.pop("$defs", {})
        definitions |= {f"{family}.{name}.{model}": one for model, one in inner.items()}
        of_kind["properties"]["kind"] = {"const": spelt(family, name)}
        definitions[f"{family}.{name}"] = of_kind
        ways.append({"$ref": f"#/$defs/{family}.{name}"})
    outside = {"type": "object", "properties": {"kind": OUTSIDE_KIND}}
    return {"description": key["description"], "anyOf": [*ways, outside, {"type": "null"}]}
