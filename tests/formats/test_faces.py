"""Faces are cut out where FFHQ and CelebA have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image
from support.marked_faces import MarkedFace, find_points, marked_photo

from facegen.formats.faces import FaceSquare, cut_face, face_size, face_square


def ffhq_corners(points: tuple[tuple[float, float], ...]) -> np.ndarray:
    """The upper left and the other corners (4, 2) of the square as FFHQ's published script computes it."""
    left, right, _, mouth_left, mouth_right = (np.array(point) for point in points)
    eye_avg, mouth_avg = (left + right) / 2, (mouth_left + mouth_right) / 2
    eye_to_eye, eye_to_mouth = right - left, mouth_avg - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


@pytest.mark.parametrize("tilt", [-30, 0, 17, 90])
def test_the_square_is_that_of_ffhqs_script(tilt: float) -> None:
    points = tuple((x + 3 * (y > 200), y) for x, y in MarkedFace(211, 187, 83, tilt).points())
    square = face_square(points, "ffhq")
    wanted = [(0, 0), (0, 100), (100, 100), (100, 0)]
    corners = [square.to_square((x, y), 100) for x, y in ffhq_corners(points).tolist()]
    assert np.allclose(corners, wanted, atol=1e-6)
    assert np.allclose([square.from_square(point, 100) for point in wanted], ffhq_corners(points))


def test_a_celeba_face_gives_back_the_crop_that_prepare_celeba_keeps() -> None:
    points = ((70.0, 111.5), (108.1, 111.7), (89, 135), (71.5, 152.6), (106.0, 152.5))
    square = face_square(points, "celeba")
    assert (square.x, square.y, square.side) == pytest.approx((89, 0.52 * 218, 0.9 * 178))
    assert square.tilt == pytest.approx(0)


def test_faces_of_any_size_tilt_and_place_give_the_same_cut() -> None:
    for align in ("ffhq", "celeba"):
        cuts = []
        for tilt, pixels in ((0, 80), (30, 80), (-25, 200), (10, 330)):
            face = MarkedFace(400, 380, pixels, tilt)
            photo = marked_photo(face, size=(800, 800))
            found = find_points(cut_face(photo, face_square(face.points(), align), 128))
            assert len(found) == 1
            cuts.append(found[0])
        assert np.ptp(np.array(cuts), axis=0).max() < 0.7


def test_size_is_a_matter_of_the_face_and_not_of_its_tilt() -> None:
    sizes = [face_size(MarkedFace(50, 50, 100, tilt).points()) for tilt in (0, 20, -30)]
    assert sizes == pytest.approx([100] * 3, rel=0.02)


def test_beyond_the_edge_the_photo_is_reflected() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 1, 3))
    cut = np.asarray(cut_face(Image.fromarray(ramp), FaceSquare(0, 32, 40, 0), 40))
    assert abs(cut[20, :20].astype(int)[::-1] - cut[20, 20:]).max() <= 4
    assert cut[20, 0, 0] == pytest.approx(76, abs=5)


def test_nothing_of_the_file_but_pixels_is_carried_along() -> None:
    photo = marked_photo(MarkedFace(100, 100, 60))
    photo.info |= {"exif": b"Exif\0\0where", "icc_profile": b"device", "comment": b"me"}
    assert cut_face(photo, FaceSquare(100, 100, 96, 5), 64).info == {}


def test_much_finer_photos_are_averaged_and_not_skipped_through() -> None:
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = np.asarray(cut_face(Image.fromarray(stripes), FaceSquare(600, 600, 1000, 0), 32), int)
    assert abs(cut[2:-2, 2:-2] - 127).max() < 6
    assert math.isfinite(float(cut.mean()))
