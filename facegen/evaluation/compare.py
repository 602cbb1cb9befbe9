"""`facegen compare A B`: whether two scores differ, and whether they may be compared at all."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.errors import DataError, UsageError
from facegen.formats.far import named, written_beside
from facegen.formats.files import read_json
from facegen.formats.influences import Influences, difference_variance, load_influences
from facegen.formats.reports import REPORT_FORMAT_VERSION, Z95, Report, ScoreRow

EVALUATIONS, CHECKPOINTS = "evaluations", "checkpoints"
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
    "switched": "attributes that were switched",
    "clip": "CLIP",
    "captions": "captions",
    "request": "request",
    "dataset": "data set",
    "distance": "perceptual distance",
    "train": "training data set",
    "task": "task",
    "diffusion": "path of the noise, and what the network predicts",
    "nominal_rate": "share of unseen faces that may be flagged",
}


@dataclass(frozen=True)
class Difference:
    """One score of A and of B, by what they estimate.

    `difference` is B less A; `low` to `high` its 95 % interval, None where an uncertainty is unknown.
    `verdict` is "B better", "A better", "they differ" (where nobody knows which way is better) or "no
    difference shown". `shared` names what both were measured on, so that its luck falls out: "images" drawn
    for the same requests with the same seeds, the "reference".
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
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison(Report):
    """Every score that both reports hold and that may be compared; `left_out` says which may not, and why."""

    metric: str = "compare"
    a: str
    b: str
    scores: tuple[Difference, ...]
    left_out: dict[str, str]


@dataclass(frozen=True)
class Scored:
    """A report that can be compared; `said` is all that it says."""

    path: Path
    scores: dict[str, ScoreRow]
    fingerprint: dict[str, Any]
    said: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """How its images were drawn."""
        return self.said.get("settings") or {}

    @property
    def step(self) -> int | None:
        """The training step of the checkpoint it judges."""
        return self.settings.get("checkpoint_step")


def compare(a: Path | str, b: Path | str, score: str | None = None) -> Comparison:
    """Compare two evaluation reports, or the newest comparable ones of two runs or checkpoints; `score` picks
    one by name.

    Where both reports have kept what single images add, the luck of the reference they share falls out of the
    difference, and that of the images, too, if they were drawn for the same requests with the same seeds.
    Otherwise it counts in both: a difference is rather missed than claimed.

    Raises:
        DataError: no report there, one without scores, or made by another version.
        UsageError: the fingerprints differ, so that nothing may be compared; or neither has `score`.
    """
    first, second = _report_pair(Path(a), Path(b), score)
    if fields := differing(first.fingerprint, second.fingerprint):
        raise UsageError(
            f"'{first.path}' and '{second.path}' cannot be compared: they differ in\n  "
            + "\n  ".join(fields),
            hint="Evaluate both against the same reference with the same options.",
        )
    kept = [load_influences(report.path) for report in (first, second)]
    found: list[Difference] = []
    left_out: dict[str, str] = {}
    for name, row in first.scores.items():
        if name not in second.scores or score not in (None, name):
            continue
        if fields := differing(row.settings, second.scores[name].settings):
            left_out[name] = "; ".join(fields)
        else:
            found.append(_difference(name, row, second.scores[name], *kept))
    if not found:
        have = f"A holds {', '.join(first.scores)}; B holds {', '.join(second.scores)}."
        reasons = [f"{name}: {why}" for name, why in left_out.items()] or [have]
        raise UsageError(
            f"No score of '{first.path}' and '{second.path}' may be compared.\n" + "\n".join(reasons),
            hint="Evaluate both with the same options: facegen eval all SUBJECT --reference DATASET "
            "--num-samples N",
        )
    return Comparison(a=named(first.path), b=named(second.path), scores=tuple(found), left_out=left_out)


def _difference(
    name: str, a: ScoreRow, b: ScoreRow, of_a: Influences | None, of_b: Influences | None
) -> Difference:
    mine, theirs = (row.value if row.estimate is None else row.estimate for row in (a, b))
    difference = theirs - mine
    low = high = None
    verdict = "no difference shown"
    error, shared = _uncertainty(name, a, b, of_a, of_b)
    if error is not None:
        reach = Z95 * error
        low, high = difference - reach, difference + reach
        if abs(difference) > reach:
            b_wins = (difference < 0) == (a.better == "lower")
            verdict = ("B better" if b_wins else "A better") if a.better else "they differ"
    ends = (a.interval, b.interval, difference, low, high)
    return Difference(name, a.better, mine, theirs, *ends, verdict, shared)


def _uncertainty(
    name: str, a: ScoreRow, b: ScoreRow, of_a: Influences | None, of_b: Influences | None
) -> tuple[float | None, tuple[str, ...]]:
    """The standard error of the difference, None where unknown, and what both scores share."""
    if of_a is not None and of_b is not None and name in of_a.scores and name in of_b.scores:
        same = of_a.pairing == of_b.pairing != ""
        variance, shared = difference_variance(of_a.scores[name], of_b.scores[name], same_requests=same)
        return variance**0.5, shared
    if a.standard_error is None or b.standard_error is None:
        return None, ()
    return (a.standard_error**2 + b.standard_error**2) ** 0.5, ()


def differing(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The fields whose values differ, in words, with both values."""
    return [
        f"{LINES.get(key, key.replace('_', ' '))}: {a.get(key)} and {b.get(key)}"
        for key in dict.fromkeys([*a, *b])
        if a.get(key) != b.get(key)
    ]


def _report_pair(a: Path, b: Path, score: str | None) -> tuple[Scored, Scored]:
    """Of a run the newest report; where both are runs, the newest that share a metric."""
    choices_a, choices_b = reports_of(a, score), reports_of(b, score)
    pairs = (
        (one, other) for one in choices_a for other in choices_b if one.scores.keys() & other.scores.keys()
    )
    return next(pairs, (choices_a[0], choices_b[0]))


def reports_of(path: Path, score: str | None) -> list[Scored]:
    """The report itself, or those of a run or checkpoint, newest first; with `score` those that have it.

    Raises:
        DataError: none.
    """
    if path.is_file():
        report = _read(path)
        if score not in (None, *report.scores):
            raise DataError(f"'{path}' has no score '{score}'; it has {', '.join(report.scores)}.")
        return [report]
    if not path.exists():
        raise DataError(f"'{path}' does not exist; expected a report (.json) or a run.")
    step = _step_of(path)
    run = path if step is None else path.resolve().parents[1]
    places = dict.fromkeys([run, written_beside(run)])
    found = [file for place in places for file in (place / EVALUATIONS).glob("*.json")]
    files = sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)
    reports: list[Scored] = []
    for file in files:
        with suppress(DataError):  # a report of another kind, or of an older facegen
            reports.append(_read(file))
    reports = [report for report in reports if step in (None, report.step)]
    reports = [report for report in reports if score is None or score in report.scores]
    if not reports:
        wanted = "scores that can be compared" if score is None else f"a score '{score}'"
        raise DataError(
            f"'{path}' holds no report in '{EVALUATIONS}' with {wanted}.",
            hint=f"Make one: facegen eval all {path} --reference DATASET",
        )
    return reports


def _step_of(path: Path) -> int | None:
    """The step of a checkpoint's folder; None of anything else."""
    folder = path.resolve()
    step = folder.name.rpartition("-")[2]
    return int(step) if folder.parent.name == CHECKPOINTS and step.isdecimal() else None


def _read(path: Path) -> Scored:
    data = read_json(path, REPORT_FORMAT_VERSION)
    try:
        scores = {name: ScoreRow(**row) for name, row in data["scores"].items()}
        return Scored(path, scores, dict(data["fingerprint"]), data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(
            f"'{path}' is a report of '{data.get('metric')}' without scores and fingerprint to compare.",
            hint="Reports of every 'facegen eval' but classifier and --sweep can be compared; one of an "
            "older facegen is to be made anew.",
        ) from error
