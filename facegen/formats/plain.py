"""Frozen dataclasses as plain data for JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from facegen.errors import DataError

Kind = TypeVar("Kind")


def plain(value: Any) -> Any:
    """`value` made of what JSON has: dataclasses become dicts, paths strings, numbers that are not finite,
    which JSON does not have, None."""
    return to_jsonable_python(value, inf_nan_mode="null")


def from_plain(kind: type[Kind], data: Mapping[str, Any], where: Path) -> Kind:
    """The dataclass `kind` that `plain` made `data` of; keys that it has no field for are passed over.

    Raises:
        DataError: fields are missing or of another type; names `where` the data were read.
    """
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise DataError(f"'{where}' lacks what a {kind.__name__} needs: {'; '.join(faults)}.") from error
