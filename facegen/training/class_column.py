"""Which class column of the data a recipe is trained on, where it names one that they do not have."""

from __future__ import annotations

from typing import Any

from facegen.config.kinds import load_kind
from facegen.config.recipe import FAMILY_OF_SECTION, Recipe
from facegen.errors import UsageError, did_you_mean
from facegen.protocols import Progress
from facegen.types import LabelSchema


def with_class_column(recipe: Recipe, labels: LabelSchema, progress: Progress) -> Recipe:
    """`recipe`, with the only class column of the data in place of one that they do not have, which is told.

    A kind whose recipe names a class column says under which key: `CLASS_COLUMN = "column"`.

    Raises:
        UsageError: the data have several class columns, and not the recipe's.
    """
    for section, family in FAMILY_OF_SECTION.items():
        options: dict[str, Any] = getattr(recipe, section) or {}
        key = getattr(load_kind(family, options["kind"]), "CLASS_COLUMN", None) if options else None
        named = None if key is None else options.get(key)
        if named is None or named in labels.classes or named in labels.attributes or not labels.classes:
            continue
        columns = list(labels.classes)
        lines = [f"--set {section}.{key}={column}" for column in columns]
        if len(columns) > 1:
            raise UsageError(
                f"{section}.{key}: the data have no class column '{named}', but several others."
                + did_you_mean(named, columns),
                hint="Name one:\n" + "\n".join(f"  {line}" for line in lines),
            )
        progress.warn(
            f"The data have no class column '{named}', which the recipe names; their only one, "
            f"'{columns[0]}', is taken. To say so yourself: {lines[0]}"
        )
        recipe = recipe.model_copy(update={section: {**options, key: columns[0]}})
    return recipe
