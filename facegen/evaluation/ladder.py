"""`facegen eval ladder RUN ...`: runs, reports and published values of one protocol in one table and picture.

What cannot be compared with the others stands apart, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from facegen.errors import DataError, UsageError
from facegen.evaluation.compare import Scored, differing, reports_of
from facegen.evaluation.steps import Evaluation, save_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OBEDIENCE = "whole_request"
KEYS = {"name", "metric", "value", "num_samples", "reference", "source"}

NUMBER_PIXELS = 14  # of the picture, a number's height


@dataclass(frozen=True)
class Rung:
    """A run, report or published value with its score and what was paid for it.

    `score` is the metric's value, which papers report, `low` to `high` the interval of what it estimates;
    `obedience` the share of requests of which everything came true, by the same judge on every rung; `calls`
    of the network an image takes, guidance included; `step` the training steps. None where unknown. `apart`
    says why it may not stand beside the others, "" where it may.
    """

    name: str
    score: float
    low: float | None
    high: float | None
    num_samples: int | None
    recall: float | None = None
    obedience: float | None = None
    calls: int | None = None
    step: int | None = None
    source: str = ""
    apart: str = ""


@dataclass(frozen=True, kw_only=True)
class LadderReport(Evaluation):
    """Rungs by `score`, the best first, and those that stand apart; `better` is the score's good end."""

    metric: str = "ladder"
    score: str
    published: str | None
    better: str
    rungs: tuple[Rung, ...]
    apart: tuple[Rung, ...]
    remarks: tuple[str, ...]
    picture: Path | None = None


def evaluate_ladder(
    subjects: Sequence[Path | str],
    score: str = "fid",
    published: Path | None = None,
    out: Path | None = None,
) -> LadderReport:
    """Put the newest reports with `score` of `subjects` (runs, checkpoints or reports) into one order.

    The protocol is that of most of them, of the first among equals. `published` is a YAML list of values with
    `name`, `metric` (as papers call it), `value`, `num_samples`, `reference` (the data set as reports call
    it) and `source`. A picture is written to `out`.

    Raises:
        DataError: a subject without such a report, or a published value without one of its keys.
        UsageError: fewer than two subjects.
    """
    if len(subjects) < 2:
        raise UsageError("A ladder needs at least two runs or reports.", hint="Name more of them.")
    found = [(str(subject), reports_of(Path(subject), score)[0]) for subject in subjects]
    standard = _protocol([report for _, report in found], score)
    judges = [_obedience(Path(subject)) for subject in subjects]
    judge = next((one.fingerprint for one in judges if one is not None), None)
    rungs = [
        _rung(name, report, score, standard, asked if asked and asked.fingerprint == judge else None)
        for (name, report), asked in zip(found, judges, strict=True)
    ]
    rungs += [_published(one, standard, score) for one in _values(published)]
    better = standard.scores[score].better
    order = sorted(
        (rung for rung in rungs if not rung.apart), key=lambda rung: rung.score, reverse=better == "higher"
    )
    report = LadderReport(
        score=score,
        published=standard.scores[score].published,
        better=better,
        rungs=tuple(order),
        apart=tuple(rung for rung in rungs if rung.apart),
        remarks=tuple(_remarks(order)),
    )
    return report if out is None else replace(report, picture=save_picture(out, ladder_figure(report)))


def _protocol(reports: Sequence[Scored], score: str) -> Scored:
    """The report that most others may be compared with."""

    def alike(one: Scored) -> int:
        return sum(not _why_apart(other, one, score) for other in reports)

    return max(reports, key=alike)  # of equals the first


def _why_apart(report: Scored, standard: Scored, score: str) -> str:
    mine, theirs = report.scores[score], standard.scores[score]
    return "; ".join(
        differing(report.fingerprint, standard.fingerprint) or differing(mine.settings, theirs.settings)
    )


def _rung(name: str, report: Scored, score: str, standard: Scored, asked: Scored | None) -> Rung:
    row = report.scores[score]
    recall = report.scores.get("recall")
    return Rung(
        name,
        row.value,
        row.low,
        row.high,
        report.said.get("num_samples"),
        None if recall is None else recall.value,
        None if asked is None else asked.scores[OBEDIENCE].value,
        _calls(report.settings),
        report.step,
        apart=_why_apart(report, standard, score),
    )


def _calls(settings: dict[str, Any]) -> int | None:
    """Calls of the network that an image takes: guidance needs two for each that a sampler makes, and Heun's
    method makes two a step but for the last; None of images that were not drawn."""
    steps = settings.get("steps")
    if steps is None:
        return None
    by_heun = (settings.get("sampler") or {}).get("kind") == "heun"
    return (2 * steps - 1 if by_heun else steps) * (1 if settings.get("guidance_scale") in (None, 1) else 2)


def _obedience(subject: Path) -> Scored | None:
    try:
        return reports_of(subject, OBEDIENCE)[0]
    except DataError:
        return None


def _values(published: Path | None) -> list[dict[str, Any]]:
    """Published values as the file says them.

    Raises:
        DataError: not such a list, or a value without one of its keys.
    """
    if published is None:
        return []
    try:
        values: Any = yaml.safe_load(published.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"'{published}' cannot be read: {error}.") from error
    if not isinstance(values, list):
        raise DataError(f"'{published}' is not a list of published values.", hint=f"Keys: {_keys()}.")
    for number, value in enumerate(values, start=1):
        if missing := KEYS - set(value if isinstance(value, dict) else ()):
            raise DataError(
                f"'{published}', value {number}, does not say its {', '.join(sorted(missing))}; without it "
                "nobody knows what it may stand beside.",
                hint=f"Each has {_keys()}.",
            )
    return values


def _keys() -> str:
    return ", ".join(sorted(KEYS))


def _published(said: dict[str, Any], standard: Scored, score: str) -> Rung:
    """A published value beside the protocol's metric, image count and reference."""
    row = standard.scores[score]
    said_here = {key: standard.said.get(key) for key in ("num_samples", "reference")}
    ours = {"metric": row.published, **said_here}
    apart = differing({key: said[key] for key in ours}, ours)
    return Rung(
        str(said["name"]),
        float(said["value"]),
        None,
        None,
        int(said["num_samples"]),
        source=str(said["source"]),
        apart="; ".join(apart),
    )


def _remarks(rungs: Sequence[Rung]) -> Iterable[str]:
    for better, worse in pairwise(rungs):
        if better.high is None or worse.low is None or better.low is None or worse.high is None:
            continue
        if better.low <= worse.high and worse.low <= better.high:
            yield (
                f"The intervals of {better.name} and {worse.name} overlap: facegen compare tells whether "
                "they differ."
            )


def ladder_figure(report: LadderReport) -> Figure:
    """The distance against recall, obedience, calls and training, of what may be compared."""
    from matplotlib.figure import Figure

    about = (
        ("recall", "recall"),
        ("obedience", "whole requests that came true"),
        ("calls", "calls of the network"),
        ("step", "training steps"),
    )
    shown = [
        (key, label) for key, label in about if any(getattr(one, key) is not None for one in report.rungs)
    ]
    figure = Figure(figsize=(4.2 * max(1, len(shown)), 4.0), dpi=130, layout="constrained")
    for place, (key, label) in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), place)
        for rung in report.rungs:
            x = getattr(rung, key)
            if x is None:
                continue
            if rung.low is not None and rung.high is not None and rung.low <= rung.score <= rung.high:
                axes.vlines(x, rung.low, rung.high, color="#2a6f97", alpha=0.35)
            axes.plot(x, rung.score, "o", color="#2a6f97")
        axes.margins(x=0.12)
        _number(axes, [getattr(rung, key) for rung in report.rungs], [rung.score for rung in report.rungs])
        axes.set_xlabel(label)
        axes.set_ylabel(f"{report.published or report.score} ({report.better} is better)")
        axes.grid(alpha=0.2)
    return figure


def _number(axes: Any, xs: Sequence[float | None], ys: Sequence[float]) -> None:
    """Write each point's number beside it; points whose numbers would lie on one another share a place."""
    axes.autoscale_view()
    told: list[tuple[Any, list[str]]] = []
    for number, (x, y) in enumerate(zip(xs, ys, strict=True), start=1):
        if x is None:
            continue
        here = axes.transData.transform((x, y))
        near = [names for place, names in told if max(abs(place - here)) < NUMBER_PIXELS]
        if near:
            near[0].append(str(number))
        else:
            told.append((here, [str(number)]))
    for place, names in told:
        at = axes.transData.inverted().transform(place)
        axes.annotate(", ".join(names), at, xytext=(6, 4), textcoords="offset points")
