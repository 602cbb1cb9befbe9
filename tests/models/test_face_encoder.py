"""dlib's face recognition in torch gives dlib's own numbers, and refuses what is not its file."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facegen.errors import DataError, MissingModelError, UsageError
from facegen.models import face_encoder
from facegen.models.face_encoder import read_face_encoder, upright_faces
from facegen.models.feature_networks import load_extractor


@pytest.mark.skipif(find_spec("dlib") is None, reason="dlib's face recognition (facegen[people]) is missing")
def test_features_are_dlibs_own():
    dlib: Any = import_module("dlib")

    images = torch.randint(0, 256, (2, 3, 48, 48), generator=torch.Generator().manual_seed(0)).byte()
    _, path = face_encoder.face_encoder()
    reference = dlib.face_recognition_model_v1(str(path))
    upright = upright_faces(images)
    assert upright.shape == (2, 3, 150, 150)
    chips = [np.ascontiguousarray(face.permute(1, 2, 0).numpy()) for face in upright]
    expected = np.stack([np.array(row) for row in reference.compute_face_descriptor(chips)])
    extractor = load_extractor("dlib-face")
    assert np.abs(extractor(images).numpy() - expected).max() < 1e-5
    assert extractor.image_size is None
    with pytest.raises(UsageError, match="dlib-face has its own"):
        load_extractor("dlib-face", weights=path)


def test_another_file_and_missing_packages_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = tmp_path / "network.dat"
    other.write_bytes(b"no network" * 50)
    with pytest.raises(DataError, match="does not hold dlib's face recognition network"):
        read_face_encoder(other)
    monkeypatch.setattr(face_encoder, "missing_packages", lambda: ["dlib-bin"])
    with pytest.raises(MissingModelError, match="need the package 'dlib-bin'") as caught:
        load_extractor("dlib-face")
    assert "facegen[people]" in str(caught.value.hint)
