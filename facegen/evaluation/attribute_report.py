"""What an evaluation found, with what it takes to read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPORT_FORMAT_VERSION = 1


@dataclass(frozen=True)
class AttributeReport:
    """How often asked-for attributes came true, as a classifier sees it.

    `generated`, `real` and `reconstructed` are results of `metrics.attributes` for the generated images,
    for the real images that the requests were taken from, and for those after the run's autoencoder; the
    last two are None where there are no such images. `attributes` lists each attribute once, with its
    rates beside the classifier's held-out accuracy. `weakest` names those present least often when asked
    for, among the ones asked for at least `min_asked` times. `kept` is, of models asked with pictures, how
    often each attribute of the picture came back, beside chance (`evaluation.kept_attributes`).
    """

    num_samples: int
    request: str | None
    generated: dict[str, Any]
    real: dict[str, Any] | None
    reconstructed: dict[str, Any] | None
    attributes: dict[str, dict[str, Any]]
    weakest: tuple[str, ...]
    classifier: str
    classifier_accuracy: float | None
    classifier_fingerprint: str
    run: str
    data: str | None
    settings: dict[str, Any]
    seconds: float
    kept: dict[str, dict[str, Any]] | None = None
    grid: Path | None = None
    saved_to: Path | None = None

    @property
    def share_all(self) -> float:
        """Share of everything asked for that came true."""
        return self.generated["all"]["share"]

    @property
    def share_present(self) -> float | None:
        """Share of the attributes asked to be present that came true; None if none was."""
        present = self.generated["present"]
        return None if present is None else present["share"]

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        data = _plain({"format_version": REPORT_FORMAT_VERSION, "metric": "attributes", **asdict(self)})
        return {**data, "share_all": self.share_all, "share_present": self.share_present}


def attribute_table(
    generated: dict[str, Any],
    real: dict[str, Any] | None,
    reconstructed: dict[str, Any] | None,
    held_out: dict[str, dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Each asked-for attribute with its hit rates, and what the classifier gets right elsewhere.

    With what was asked for as the truth: `accuracy` is the share of right answers both ways, `recall` of the
    faces asked to have it those that have it, `precision` of the faces that have it those asked to. Where the
    requests came from real images, `*_on_real` is the same of these: the classifier's own error, which no
    generator can be expected to beat. None where nothing was asked or seen.
    """
    return {
        name: {
            **both_ways,
            "accuracy": _accuracy(generated, name),
            "precision": _precision(generated, name),
            "recall": _recall(generated, name),
            "accuracy_on_real": _accuracy(real, name),
            "precision_on_real": _precision(real, name),
            "recall_on_real": _recall(real, name),
            "accuracy_on_reconstructions": _accuracy(reconstructed, name),
            "classifier_accuracy": held_out.get(name, {}).get("accuracy"),
        }
        for name, both_ways in generated["attributes"].items()
    }


def weakest_attributes(
    table: dict[str, dict[str, Any]], *, min_asked: int, count: int = 5
) -> tuple[str, ...]:
    """Up to `count` attributes that came true least often when asked for at least `min_asked` times."""
    often = {
        name: row["asked_yes"]["hit_rate"]
        for name, row in table.items()
        if row["asked_yes"]["num_asked"] >= max(1, min_asked)
    }
    return tuple(sorted(often, key=lambda name: often[name])[:count])


def _accuracy(result: dict[str, Any] | None, name: str) -> float | None:
    """Share of right answers for one attribute, both ways together."""
    if result is None or name not in result["attributes"]:
        return None
    ways = result["attributes"][name].values()
    return sum(map(_hits, ways)) / sum(way["num_asked"] for way in ways)


def _recall(result: dict[str, Any] | None, name: str) -> float | None:
    """Of the faces asked to have the attribute, the share that has it."""
    if result is None or name not in result["attributes"]:
        return None
    return result["attributes"][name]["asked_yes"]["hit_rate"]


def _precision(result: dict[str, Any] | None, name: str) -> float | None:
    """Of the faces that have the attribute, the share that was asked to, where it was asked either way."""
    if result is None or name not in result["attributes"]:
        return None
    asked_yes, asked_no = (result["attributes"][name][way] for way in ("asked_yes", "asked_no"))
    right, wrong = _hits(asked_yes), asked_no["num_asked"] - _hits(asked_no)
    return right / (right + wrong) if right + wrong else None


def _hits(way: dict[str, Any]) -> int:
    return round((way["hit_rate"] or 0.0) * way["num_asked"])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
