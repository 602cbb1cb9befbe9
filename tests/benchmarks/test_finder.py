"""The bench of finders, and how well the one that ships finds in scenes of real faces."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from facegen.types import FoundFace

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    if find_spec("facenet_pytorch") is None:
        pytest.skip("the finder is not there: pip install 'facegen[faces]'")
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("finder")


class Sees:
    """Finds what it was told, moved by `off` pixels, and one face that is none."""

    version = "sees"

    def __init__(self, truth: list[list[Any]], off: float) -> None:
        self.truth, self.off = iter([[], *truth]), off

    def find(self, image: Any, smallest_pixels: float) -> list[FoundFace]:
        found = []
        for face in next(self.truth):
            left, right = (eye + self.off for eye in face.eyes)
            down = (right - left) * 1j
            points = (left, right, left + down / 2, left + down, right + down)
            found.append(FoundFace((0, 0, 1, 1), tuple((each.real, each.imag) for each in points), 1.0))
        return [*found[1:], FoundFace((0, 0, 1, 1), ((1, 1), (3, 1), (2, 2), (1, 3), (3, 3)), 0.5)]


def test_what_is_missed_wrong_or_off_is_counted(bench: Any) -> None:
    material = bench.avatars(4)
    truth = [pasted for _, pasted in bench.scenes(material, 2, 0)]
    told = bench.measure(Sees(truth, 0.0), material, 2, 0)
    faces = sum(map(len, truth))
    assert told["faces"] == faces > 6
    assert told["recall"] == pytest.approx((faces - 2) / faces, abs=1e-4)
    assert told["precision"] == pytest.approx((faces - 2) / faces, abs=1e-4)
    assert told["eye_error_pixels"] == 0
    assert bench.measure(Sees(truth, 2.0), material, 2, 0)["eye_error_pixels"] > 0.5
    assert sum(row["faces"] for row in told["groups"]) == faces


@pytest.mark.slow
def test_the_bench_runs_on_avatars(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    told = bench.main(["--smoke"])
    assert told["scenes"] == 2
    assert "| 80 to 160 | upright |" in capsys.readouterr().out


@pytest.mark.real_faces
def test_real_faces_of_80_pixels_and_more_are_found_and_so_are_tilted_and_small_ones(
    bench: Any, real_faces: Path
) -> None:
    told = bench.measure(bench.finder_of("mtcnn"), bench.celeba(real_faces / "celeba"), 10, 5)
    upright = [
        row for row in told["groups"] if row["tilt"] == "upright" and row["pixels"].startswith(("80", "160"))
    ]
    found = sum(row["faces"] * (row["recall"] or 0) for row in upright)
    assert found / sum(row["faces"] for row in upright) >= 0.9
    assert told["recall"] >= 0.9
    assert told["precision"] >= 0.95
    assert told["eye_error_pixels"] < 2
