"""Which options are whose: what the kind of a data set is told, and what decides its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facegen.config.kinds import kind_config, load_kind, trust
from facegen.errors import UsageError
from facegen.formats.files import sha256_of
from facegen.preparation.options import PrepareOptions
from facegen.protocols import DatasetAdapter

CHOOSING_OPTIONS = ("faces", "min_face", "min_sharpness", "exclude")
"""Which of the faces that were found are used: `--renew` makes a data set anew where they differ."""
PHOTO_OPTIONS = ("align", "finder", *CHOOSING_OPTIONS)
READING_OPTIONS = ("labels", "layout", "columns", "revision", "subset", *PHOTO_OPTIONS)
DRAWING_OPTIONS = ("count", "variety")
ADAPTER_OPTIONS = (
    *DRAWING_OPTIONS,
    "seed",
    "size",
    "strict",
    "limit",
    *READING_OPTIONS,
)  # to kinds that know it


def adapter_of(kind: str, options: PrepareOptions) -> DatasetAdapter:
    """The kind's own reader, told the options that it knows.

    Raises:
        UsageError: no such kind, or an option that says nothing to it.
    """
    trust(kind)  # named by whoever calls
    module = load_kind("datasets", kind)
    known = module.Config.model_fields
    for name in DRAWING_OPTIONS:
        if getattr(options, name) is not None and name not in known:
            hint = "Use --limit to read fewer." if name == "count" else None
            raise UsageError(f"--{name} is for kinds that draw; '{kind}' reads.", hint=hint)
    for name in READING_OPTIONS:
        if getattr(options, name) not in (None, "auto") and name not in known:
            spelt = name.replace("_", "-")
            raise UsageError(f"--{spelt} is for other kinds; '{kind}' has no use for it.")
    wanted = {name: getattr(options, name) for name in ADAPTER_OPTIONS}
    section = {name: value for name, value in wanted.items() if name in known and value is not None}
    return module.build(kind_config("datasets", {"kind": kind, **section}))


def crop_name(kind: str, adapter: DatasetAdapter, crop: str) -> str:
    """The crop asked for, or the kind's first for "auto".

    Raises:
        UsageError: the kind has none of that name.
    """
    if crop == "auto":
        return next(iter(adapter.crops))
    if crop not in adapter.crops:
        raise UsageError(
            f"Crop '{crop}' does not suit '{kind}'.",
            hint=f"Crops of {kind}: auto, {', '.join(adapter.crops)}",
        )
    return crop


def reading_settings(options: PrepareOptions) -> dict[str, Any]:
    """What decides how a source is read, without places on this machine and what was left out."""
    reading = {option: getattr(options, option) for option in (*READING_OPTIONS, "conflicts", "variety")}
    reading["labels"] = Path(options.labels).name if options.labels else None
    if options.exclude is not None:
        path = Path(options.exclude)
        reading["exclude"] = sha256_of(path.read_bytes())[:16] if path.is_file() else path.name
    return {option: value for option, value in reading.items() if value not in (None, "auto", "leave-out")}
