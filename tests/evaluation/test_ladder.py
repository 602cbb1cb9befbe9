"""A ladder of runs, reports and published values: one order, and what cannot be compared apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facegen.errors import DataError, UsageError
from facegen.evaluation.ladder import evaluate_ladder
from facegen.formats.files import write_json
from facegen.formats.reports import ScoreRow

FINGERPRINT = {"features": "inception:bilinear", "image_size": 64, "reference": "abc", "split": "train"}


def row(value: float, better: str, count: int, published: str | None = None) -> dict[str, Any]:
    ends = (value, value - 1, value + 1, 0.5, "the distance", None, None, None, {"num_samples": count})
    return vars(ScoreRow("fid", value, better, *ends, published))


def report(path: Path, value: float, **changes: Any) -> Path:
    """A report of closeness in a run's folder; `changes` of its fingerprint, settings or count."""
    count = changes.pop("count", 1000)
    settings = {"steps": 20, "guidance_scale": 2.0, "checkpoint_step": 100, **changes.pop("settings", {})}
    data = {
        "format_version": 1,
        "metric": "all",
        "scores": {"fid": row(value, "lower", count, "FID"), "recall": row(0.5, "higher", count)},
        "fingerprint": {**FINGERPRINT, **changes},
        "settings": settings,
        "num_samples": count,
        "reference": "data/celeba",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, data)
    return path


def obeys(path: Path, share: float, judge: str = "one") -> None:
    data = {"scores": {"whole_request": row(share, "higher", 500)}, "fingerprint": {"classifier": judge}}
    write_json(path, {"format_version": 1, "metric": "attributes", "settings": {}, **data})


def runs(folder: Path) -> list[Path]:
    """Three alike, one in another network's features, one of fewer images."""
    made = [(12.0, {}), (10.0, {"settings": {"guidance_scale": 1.0}}), (11.5, {})]
    made[2][1]["settings"] = {"sampler": {"kind": "heun"}}
    made += [(3.0, {"features": "dinov2:bicubic"}), (2.0, {"count": 100})]
    for number, (value, changes) in enumerate(made):
        report(folder / f"run{number}" / "evaluations" / "all-1.json", value, **changes)
        obeys(
            folder / f"run{number}" / "evaluations" / "attributes-1.json",
            0.8,
            "two" if number == 2 else "one",
        )
    return [folder / f"run{number}" for number in range(len(made))]


def test_the_best_of_one_protocol_comes_first_and_others_stand_apart(tmp_path: Path) -> None:
    found = evaluate_ladder(runs(tmp_path), out=tmp_path / "ladder.png")
    assert [Path(rung.name).name for rung in found.rungs] == ["run1", "run2", "run0"]
    assert [rung.calls for rung in found.rungs] == [20, 78, 40]
    assert [rung.obedience for rung in found.rungs] == [0.8, None, 0.8], "another judge is no answer"
    network, count = found.apart
    assert "dinov2:bicubic and inception:bilinear" in network.apart
    assert "number of images: 100 and 1000" in count.apart
    assert any("run2 and" in told and "overlap" in told for told in found.remarks)
    with Image.open(tmp_path / "ladder.png") as picture:
        assert picture.size[0] > 1000


def test_published_values_stand_beside_only_what_they_are_of(tmp_path: Path) -> None:
    papers = tmp_path / "papers.yaml"
    papers.write_text(
        "- {name: Theirs, metric: FID, value: 10.5, num_samples: 1000, reference: data/celeba, source: one}\n"
        "- {name: Many, metric: FID, value: 2.5, num_samples: 50000, reference: FFHQ, source: another}\n"
    )
    found = evaluate_ladder(runs(tmp_path)[:3], published=papers)
    assert [Path(rung.name).name for rung in found.rungs] == ["run1", "Theirs", "run2", "run0"]
    (many,) = found.apart
    assert "number of images: 50000 and 1000" in many.apart
    assert "FFHQ and data/celeba" in many.apart


def test_a_published_value_without_its_count_is_refused(tmp_path: Path) -> None:
    papers = tmp_path / "papers.yaml"
    papers.write_text("- {name: Theirs, metric: FID, value: 10.5, reference: FFHQ, source: a paper}\n")
    with pytest.raises(DataError, match="value 1, does not say its num_samples"):
        evaluate_ladder(runs(tmp_path)[:2], published=papers)
    papers.write_text("name: Theirs\n")
    with pytest.raises(DataError, match="not a list of published values"):
        evaluate_ladder(runs(tmp_path)[:2], published=papers)


def test_one_run_is_no_ladder_and_a_missing_score_is_named(tmp_path: Path) -> None:
    one, two, *_ = runs(tmp_path)
    with pytest.raises(UsageError, match="at least two"):
        evaluate_ladder([one])
    with pytest.raises(DataError, match="a score 'kid'"):
        evaluate_ladder([one, two], score="kid")
    with pytest.raises(DataError, match=r"no score 'kid'; it has fid, recall"):
        evaluate_ladder([one / "evaluations" / "all-1.json", two], score="kid")
