"""Real faces out of focus, one group at a time: that group is named, and no other moves apart from it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.formats.dataset import Dataset
from facegen.metrics.subgroups import Config, Group, build, groups_of
from facegen.preparation.prepare import PrepareOptions, prepare

pytestmark = pytest.mark.real_faces
SLICES = ("Wearing_Hat", "Eyeglasses", "Male")
OTHERS = ("Smiling", "Young", "Heavy_Makeup", "Wearing_Necktie")
BLUR_PIXELS = 5
CELLS = 4


def seen(images: Tensor) -> Tensor:
    """uint8 (B, 3, 32, 32) -> (B, 80): mean colours and strengths of edges in 4x4 cells."""
    pixels = images.float() / 255
    grey = pixels.mean(1, keepdim=True)
    across = F.pad(grey.diff(dim=3).abs(), (0, 1, 0, 0))
    down = F.pad(grey.diff(dim=2).abs(), (0, 0, 0, 1))
    return F.adaptive_avg_pool2d(torch.cat([pixels, 5 * across, 5 * down], 1), CELLS).flatten(1)


def one_classifier(features: Tensor, labels: np.ndarray) -> Tensor:
    """Weights (81, A) of linear answers, fitted by ridge regression."""
    inputs = F.pad(features, (0, 1), value=1.0)
    targets = 2 * torch.from_numpy(labels).float() - 1
    return torch.linalg.solve(inputs.T @ inputs + torch.eye(inputs.shape[1]), inputs.T @ targets)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    source = Path(__file__).resolve().parents[3] / "shared" / "data" / "celeba"
    if not source.is_dir():
        pytest.skip("the real photographs (../shared/data) are not beside this checkout")
    out = tmp_path_factory.mktemp("real") / "celeba"
    prepare("celeba", source, out, PrepareOptions(size=32, limit=2400, splits=(0.5, 0.5, 0.0), workers=1))
    dataset = Dataset.open(out)
    real, mine = dataset.split("train"), dataset.split("validation")
    features = seen(real.images(range(len(real))))
    names = (*SLICES, *OTHERS)
    weights = one_classifier(features, real.frame[list(names)].to_numpy(dtype="float32"))
    images = mine.images(range(len(mine)))
    return SimpleNamespace(
        real=real.frame, features=features, mine=mine.frame, images=images, weights=weights
    )


def rows_of(faces: SimpleNamespace, blurred: str | None, apart_from: str | None = None) -> dict[str, Any]:
    images = faces.images
    if blurred is not None:
        members = torch.from_numpy((faces.mine[blurred] == 1).to_numpy(bool))
        soft = F.avg_pool2d(images.float(), BLUR_PIXELS, 1, BLUR_PIXELS // 2, count_include_pad=False)
        images = torch.where(members[:, None, None, None], soft.round().byte(), images)
    metric = build(
        Config(small_below=40),
        features=seen,
        logits=lambda images: F.pad(seen(images), (0, 1), value=1.0) @ faces.weights,
        attributes=(*SLICES, *OTHERS),
        groups=groups_of((*SLICES, *OTHERS), {}),
        reference=faces.features,
        reference_records=faces.real,
        apart_from=[] if apart_from is None else [Group(apart_from, "yes")],
    )
    metric.update(images, faces.mine)
    return {f"{row['label']} {row['value']}".strip(): row for row in metric.compute()}


def test_no_group_of_sharp_faces_is_worse_off(faces: SimpleNamespace):
    assert [name for name, row in rows_of(faces, None).items() if row["worse_off"]] == []


@pytest.mark.parametrize("name", SLICES)
def test_blurring_real_faces_of_one_group_moves_it_alone(faces: SimpleNamespace, name: str):
    clean, after = rows_of(faces, None, apart_from=name), rows_of(faces, name)
    assert [group for group, row in after.items() if row["worse_off"]] == [f"{name} yes"]
    for score in ("kid", "frechet", "precision", "recall", "accuracy"):
        moves = []
        for group, row in clean.items():
            then, now = (row["apart"] or row)[score], (after[group]["apart"] or after[group])[score]
            if then is not None and now is not None and not then["low"] <= now["value"] <= then["high"]:
                moves.append(group)
        assert set(moves) <= {f"{name} yes"}, score
        assert moves or score != "kid"
