"""Numbers are judged by their targets, kept as JSON, drawn, and compared with earlier ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.bench_results import MACHINE, ROUNDS, result, way

from facegen.bench.compare import changes, check_comparable
from facegen.bench.options import BenchOptions
from facegen.bench.picture import write_picture
from facegen.bench.result import read_result
from facegen.bench.targets import TARGETS, cost_ratio, finding, rate_ratio
from facegen.errors import DataError, UsageError
from facegen.formats.files import write_json


def scaled(factor: float) -> tuple[float, ...]:
    return tuple(factor * one for one in ROUNDS)


def test_a_ratio_is_of_rounds_that_stood_beside_each_other() -> None:
    drifting, steady = way("ours", (1.0, 2.0, 4.0)), way("gather", (0.5, 1.0, 2.0))
    found = rate_ratio("load/gather", "of the gather", drifting, steady)
    assert (found.value, found.low, found.high, found.by_cpu) == (0.5, 0.5, 0.5, 0.5)
    assert cost_ratio("any", "times the gather", drifting, steady).value == 2.0


@pytest.mark.parametrize(
    ("key", "values", "verdict"),
    [
        ("load/gather", [0.79, 0.8, 0.81], "met"),
        ("load/gather", [0.7, 0.79, 0.9], "within the spread"),
        ("load/gather", [0.5, 0.6, 0.7], "missed"),
        ("startup/help", [0.2, 0.25, 0.3], "met"),
        ("startup/help", [0.2, 0.26, 0.3], "within the spread"),
        ("startup/help", [0.26, 0.27, 0.3], "missed"),
        ("load/without-a-target", [1.0, 2.0], None),
    ],
)
def test_the_verdict_is_by_the_median_and_its_quartiles(key: str, values: list[float], verdict: str) -> None:
    found = finding(key, "a number", values)
    assert found.verdict == verdict
    if verdict is not None:
        assert (found.target, found.better, found.why) == (
            TARGETS[key].value,
            TARGETS[key].better,
            TARGETS[key].why,
        )


def test_a_result_comes_back_from_its_file(tmp_path: Path) -> None:
    found = result(way("ours", ROUNDS), way("gather", scaled(0.5)))
    write_json(tmp_path / "bench.json", found.to_json())
    assert read_result(tmp_path / "bench.json") == found


def test_what_is_no_result_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="facegen bench all --out"):
        read_result(tmp_path / "absent.json")
    (tmp_path / "other.json").write_text('{"format_version": 1, "machine": 3}', "utf-8")
    with pytest.raises(DataError, match=r"other\.json"):
        read_result(tmp_path / "other.json")


@pytest.mark.parametrize(
    "changed", [{"processor": "another"}, {"cores": 4}, {"threads": 2}, {"cards": ("H200",)}]
)
def test_a_result_of_another_machine_is_refused(changed: dict[str, object]) -> None:
    earlier = result(way("ours", ROUNDS), machine=replace(MACHINE, **changed))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"another machine: {next(iter(changed))}"):
        check_comparable(earlier, MACHINE, BenchOptions(compare=Path("before.json")))
    check_comparable(result(way("ours", ROUNDS)), MACHINE, BenchOptions())


def test_quick_and_whole_results_are_not_compared() -> None:
    earlier = result(way("ours", ROUNDS), quick=True)
    with pytest.raises(UsageError, match="with --quick"):
        check_comparable(earlier, MACHINE, BenchOptions(compare=Path("before.json")))


def test_only_what_lies_outside_the_spread_is_called_slower() -> None:
    before = result(
        *(way(name, ROUNDS) for name in ("same", "slower", "faster", "waiting", "gone", "gather")),
    )
    now = result(
        way("same", scaled(1.3)),
        way("slower", scaled(1.5)),
        way("faster", scaled(0.5)),
        way("waiting", scaled(1.5), cpu=ROUNDS),
        way("new", ROUNDS),
        way("gather", ROUNDS),
    )
    found = {change.name: change for change in changes(before, now)}
    assert {name: change.verdict for name, change in found.items()} == {
        "same": "same",
        "slower": "slower",
        "faster": "faster",
        "waiting": "slower by the wall alone",
        "gather": "same",
    }
    assert found["slower"].ratio == pytest.approx(1.5)
    assert (found["waiting"].ratio, found["waiting"].by_cpu) == pytest.approx((1.5, 1.0))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_result_is_drawn_with_every_way(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bench{suffix}"
    write_picture(result(way("facegen's way", ROUNDS), way("gather", scaled(0.01))), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG") if suffix == ".png" else b"facegen's way" in content
