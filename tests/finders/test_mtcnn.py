"""MTCNN with facenet-pytorch's networks."""

from __future__ import annotations

import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from facegen.finders import mtcnn
from facegen.finders.mtcnn import Config, Mtcnn

if find_spec("facenet_pytorch") is None:
    pytest.skip("the finder is not there: pip install 'facegen[faces]'", allow_module_level=True)


@pytest.fixture
def people(real_faces: Path) -> Image.Image:
    """Twelve faces of CelebA, twice as large, in rows of four."""
    sheet = Image.new("RGB", (800, 750), "gray")
    with zipfile.ZipFile(real_faces / "celeba" / "img_align_celeba.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[100:112]
        for number, name in enumerate(names):
            face = Image.open(io.BytesIO(archive.read(name))).resize((178, 218))
            sheet.paste(face, (number % 4 * 200 + 11, number // 4 * 250 + 16))
    return sheet


def test_nothing_is_found_where_nothing_is() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    for image in (Image.fromarray(noise), Image.new("RGB", (3, 900)), Image.new("RGB", (1, 1))):
        assert Mtcnn(Config()).find(image, 20) == []


def test_a_box_that_shrank_to_nothing_is_not_looked_at() -> None:
    boxes = np.array([[50, 50, 40, 40], [20, 20, 20, 20]], np.float32)
    found, scores, points = Mtcnn(Config())._look_closer("onet", Image.new("RGB", (80, 80)), boxes, 0.0)
    assert (len(found), len(scores), len(points)) == (0, 0, 0)


def test_no_box_covers_a_surer_one() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [2, 2, 5, 5]], np.float32)
    scores = np.array([0.8, 0.9, 0.7, 0.6], np.float32)
    assert mtcnn._kept(boxes, scores, 0.5) == [1, 2, 3]
    assert mtcnn._kept(boxes, scores, 0.5, of_smaller=True) == [1, 2]
    assert mtcnn._kept(boxes[:0], scores[:0], 0.5) == []


@pytest.mark.real_faces
def test_points_are_where_celeba_has_them(people: Image.Image) -> None:
    found = Mtcnn(Config()).find(people, 40)
    assert len(found) == 12
    places = np.array([face.points for face in found])
    places = (places - [11, 16]) % [200, 250]
    wanted = [(70, 111.5), (108, 111.5), (71.5, 152.5), (106, 152.5)]
    off = np.hypot(*np.moveaxis(places[:, [0, 1, 3, 4]] - wanted, -1, 0))
    assert off[:, :2].mean() < 3
    assert off.mean() < 4


@pytest.mark.real_faces
def test_strips_and_mirrors_find_the_same(people: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    finder = Mtcnn(Config())
    whole = np.array([face.points for face in finder.find(people, 40)])
    monkeypatch.setattr(mtcnn, "_STRIP_PIXELS", 5_000)
    strips = np.array([face.points for face in finder.find(people, 40)])
    assert np.allclose(strips, whole, atol=0.01)
    mirrored = finder.find(ImageOps.mirror(people), 40)
    assert len(mirrored) >= 11
    for face in mirrored:
        left_eye = (800 - face.points[1][0], face.points[1][1])
        assert np.hypot(*(whole[:, 0] - left_eye).T).min() < 3
