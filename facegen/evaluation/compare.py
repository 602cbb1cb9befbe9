"""`facegen compare A B`: whether two scores differ, and whether they may be compared at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.errors import DataError, UsageError
from facegen.formats.files import read_json
from facegen.formats.reports import REPORT_FORMAT_VERSION, report_json

Z95 = 1.959963984540054
EVALUATIONS = "evaluations"
LINES = {
    "features": "feature network, weights, layer or resize",
    "image_size": "image size",
    "bits": "bits a channel",
    "compression": "file format (lossless or lossy)",
    "reference": "reference data set",
    "split": "split of the reference",
    "num_samples": "number of images",
    "classifier": "classifier that judges",
    "base": "rest of each request",
    "data": "data set the requests come from",
    "toggled": "wishes that were toggled",
}


@dataclass(frozen=True)
class Difference:
    """One score of A and of B, by what they estimate.

    `difference` is B less A; `low` to `high` its 95 % interval, None where an uncertainty is unknown.
    `verdict` is "B better", "A better" or "no difference shown".
    """

    score: str
    better: str
    a: float
    b: float
    a_interval: tuple[float, float] | None
    b_interval: tuple[float, float] | None
    difference: float
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Every score that both reports hold and that may be compared; `left_out` says which may not, and why."""

    a: str
    b: str
    scores: tuple[Difference, ...]
    left_out: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return report_json("compare", self)


def compare(a: Path | str, b: Path | str, score: str | None = None) -> Comparison:
    """Compare two evaluation reports, or the newest comparable ones of two runs; `score` picks one by name.

    The reference's own scatter counts in both, although they share it: a difference is rather missed than
    claimed.

    Raises:
        DataError: no report there, one without scores, or made by another version.
        UsageError: the fingerprints differ, so that nothing may be compared; or neither has `score`.
    """
    path_a, path_b = _report_pair(Path(a), Path(b), score)
    first, second = _read(path_a), _read(path_b)
    _check_fingerprints(path_a, first, path_b, second)
    found: list[Difference] = []
    left_out: dict[str, str] = {}
    for name in [name for name in first["scores"] if name in second["scores"]]:
        if score not in (None, name):
            continue
        row_a, row_b = first["scores"][name], second["scores"][name]
        if differing := _differing(row_a["settings"], row_b["settings"]):
            left_out[name] = "; ".join(differing)
        else:
            found.append(_difference(name, row_a, row_b))
    if not found:
        reasons = [f"{name}: {why}" for name, why in left_out.items()] or [_have(first, second)]
        raise UsageError(
            f"No score of '{path_a}' and '{path_b}' may be compared.\n" + "\n".join(reasons),
            hint="Evaluate both with the same options: facegen eval all SUBJECT --reference DATASET "
            "--num-samples N",
        )
    return Comparison(str(path_a), str(path_b), tuple(found), left_out)


def _difference(name: str, a: dict[str, Any], b: dict[str, Any]) -> Difference:
    mine, theirs = _estimate(a), _estimate(b)
    difference = theirs - mine
    errors = a["standard_error"], b["standard_error"]
    low = high = None
    verdict = "no difference shown"
    if errors[0] is not None and errors[1] is not None:
        reach = Z95 * (errors[0] ** 2 + errors[1] ** 2) ** 0.5
        low, high = difference - reach, difference + reach
        if abs(difference) > reach:
            b_wins = (difference < 0) == (a["better"] == "lower")
            verdict = "B better" if b_wins else "A better"
    return Difference(
        name, a["better"], mine, theirs, _interval(a), _interval(b), difference, low, high, verdict
    )


def _estimate(row: dict[str, Any]) -> float:
    return row["value"] if row["estimate"] is None else row["estimate"]


def _interval(row: dict[str, Any]) -> tuple[float, float] | None:
    return None if row["low"] is None or row["high"] is None else (row["low"], row["high"])


def _check_fingerprints(path_a: Path, a: dict[str, Any], path_b: Path, b: dict[str, Any]) -> None:
    if differing := _differing(a["fingerprint"], b["fingerprint"]):
        raise UsageError(
            f"'{path_a}' and '{path_b}' cannot be compared: they differ in\n  " + "\n  ".join(differing),
            hint="Evaluate both against the same reference with the same options.",
        )


def _differing(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [
        f"{LINES.get(key, key.replace('_', ' '))}: {a.get(key)} and {b.get(key)}"
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def _have(a: dict[str, Any], b: dict[str, Any]) -> str:
    return f"A holds {', '.join(a['scores'])}; B holds {', '.join(b['scores'])}."


def _report_pair(a: Path, b: Path, score: str | None) -> tuple[Path, Path]:
    """Of a run the newest report; where both are runs, the newest that share a metric."""
    choices_a, choices_b = _reports(a, score), _reports(b, score)
    for one in choices_a:
        scores = set(_read(one)["scores"])
        for other in choices_b:
            if scores & set(_read(other)["scores"]):
                return one, other
    return choices_a[0], choices_b[0]


def _reports(path: Path, score: str | None) -> list[Path]:
    """The report itself, or those of a run, newest first."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise DataError(f"'{path}' does not exist; expected a report (.json) or a run.")
    files = sorted((path / EVALUATIONS).glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    reports = [file for file in files if _comparable(file, score)]
    if not reports:
        wanted = "scores that can be compared" if score is None else f"a score '{score}'"
        raise DataError(
            f"'{path}' holds no report in '{EVALUATIONS}' with {wanted}.",
            hint=f"Make one: facegen eval all {path} --reference DATASET",
        )
    return reports


def _comparable(path: Path, score: str | None) -> bool:
    try:
        scores = _read(path)["scores"]
    except DataError:
        return False  # a report of another kind, or of an older facegen
    return score is None or score in scores


def _read(path: Path) -> dict[str, Any]:
    data = read_json(path, REPORT_FORMAT_VERSION)
    if not isinstance(data.get("scores"), dict) or not isinstance(data.get("fingerprint"), dict):
        raise DataError(
            f"'{path}' is a report of '{data.get('metric')}' without scores and fingerprint to compare.",
            hint="Reports of 'facegen eval all', fid, kid, precision-recall, control and the like can be "
            "compared; one of an older facegen is to be made anew.",
        )
    return data
