"""What is said of edited photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from facegen.report.blocks import Table
from facegen.report.told import Evaluation, Said, Sentence
from facegen.report.words import percent, percent_interval
from facegen.vocabulary.words import readable

GRID_MIN_WIDTH = 700
INTERVAL = "95 % interval"
COLUMNS = (
    "switched", "by", "strength", "faces", "came true", INTERVAL, "leakage", "grey levels", "distance",
    "features",
)  # fmt: skip
BESIDE = (
    "switched", "strength", "came true", "leakage", "SDEdit's leakage", "grey levels", "SDEdit's grey levels",
    "distance", "SDEdit's distance", "features", "SDEdit's features",
)  # fmt: skip


def edit(evaluation: Evaluation) -> Iterator[Said]:
    """What came true of switched attributes, what else changed, and what SDEdit does of both."""
    data, plain, psnr = evaluation.data, evaluation.data["reconstructed"], evaluation.data["psnr"]
    back = "the photo itself" if psnr["nothing_finished"] is None else f"{psnr['nothing_finished']:.1f} dB"
    yield (
        "Each held-out photo is told to show its own labels, and asked for them with one switched. Asked for "
        f"nothing, the latents come back with {_decibels(psnr['nothing'])} (the autoencoder alone: "
        f"{_decibels(psnr['autoencoder'])}), and the picture is {back}. The autoencoder alone changes "
        f"{percent(plain['leakage']['share'])} of the judge’s answers and {plain['pixels']:.1f} grey levels."
    )
    told = (
        "Came true: of the faces that the judge saw without it after the autoencoder alone. Leakage: of all "
        "other answers that were asked the same, how many changed. Grey levels of 0 to 255: mean difference "
        f"from the photo. Distance: {data['distance_name'] or 'none'}. Features: 1 - cosine, "
        f"{data['features_name'] or 'none'}."
    )
    yield Table(COLUMNS, [_row(row) for row in data["rows"]], caption=told).filled()
    beside = [_beside(row) for row in data["rows"] if row["same_success"]]
    caption = "SDEdit's numbers lie straight between those of the two strengths around the same success."
    yield Table(BESIDE, beside, "Beside SDEdit, where as much comes true", caption).filled()
    grid = "Photos, after the autoencoder alone, edited, and by SDEdit."
    yield from evaluation.picture("grid", grid, min_width_pixels=GRID_MIN_WIDTH)
    yield from data["remarks"]
    yield evaluation.honesty({"drawn faces": None, "faces for each attribute": data["num_samples"]})
    strongest = max((row["strength"] for row in data["rows"] if row["method"] == "edit"), default=None)
    rows = [row for row in data["rows"] if row["method"] == "edit" and row["strength"] == strongest]
    came = ", ".join(f"{readable(row['attribute'])} {percent(_share(row['hit']))}" for row in rows)
    yield Sentence(f"Switched in held-out photos at strength {strongest:g} came true: {came}.")


def _row(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        readable(row["attribute"]),
        row["method"],
        row["strength"],
        row["num_faces"],
        percent(_share(row["hit"])),
        percent_interval(row["hit"]),
        percent(_share(row["leakage"])),
        row["pixels"],
        row["distance"],
        row["features"],
    )


def _beside(row: Mapping[str, Any]) -> tuple[object, ...]:
    theirs = row["same_success"]
    return (
        readable(row["attribute"]),
        row["strength"],
        percent(_share(row["hit"])),
        percent(_share(row["leakage"])),
        percent(theirs["leakage"]),
        *(value for name in ("pixels", "distance", "features") for value in (row[name], theirs[name])),
    )


def _share(row: Mapping[str, Any] | None) -> float | None:
    return None if row is None else row["share"]


def _decibels(value: float | None) -> str:
    return "no loss" if value is None else f"{value:.1f} dB"
