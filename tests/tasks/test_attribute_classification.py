"""The classifier's task: loss, augmentation, scores, and learning something visible."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from support.draws import draws_of

from facegen.config.kinds import kind_config
from facegen.errors import DataError, UsageError
from facegen.formats.images import to_unit
from facegen.nn.multilabel_scores import area_under_roc, label_scores, multilabel_scores
from facegen.tasks.attribute_classification import (
    AttributeClassification,
    calibrated_scores,
    classified_labels,
    verdict,
)
from facegen.types import LabelSchema

ATTRIBUTES = ("Red", "Bright_Left")


class Images:
    """A split held in memory."""

    def __init__(self, images: torch.Tensor, frame: pd.DataFrame) -> None:
        self._images, self.frame = images, frame

    def __len__(self) -> int:
        return len(self.frame)

    def images(self, indices: Any, *, keep: bool = False) -> torch.Tensor:
        return self._images[indices]


def squares(count: int, seed: int, size: int = 32) -> Images:
    """Noise; red where `Red`, the left half brighter where `Bright_Left`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count, 2), generator=generator)
    images = torch.randint(0, 100, (count, 3, size, size), generator=generator)
    images[:, 0] += 100 * labels[:, 0, None, None]
    images[:, :, :, : size // 2] += 50 * labels[:, 1, None, None, None]
    frame = pd.DataFrame(labels.numpy(), columns=list(ATTRIBUTES)).astype("Int8")
    return Images(images.to(torch.uint8), frame)


def task_of(
    train: Images, validation: Images | None = None, *, flip: bool = False, **config: Any
) -> AttributeClassification:
    settings = {"kind": "attribute_classification", "widths": [8, 16], **config}
    split: Any = train
    held_out: Any = validation or train
    return AttributeClassification(
        kind_config("tasks", settings),
        labels=LabelSchema(ATTRIBUTES),
        image_size=32,
        train=split,
        validation=held_out,
        flip=flip,
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_network_learns_visible_attributes_and_the_scores_say_so():
    torch.manual_seed(0)
    task = task_of(squares(256, 0), squares(64, 1))
    module = task.build_module()
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    before = task.validate(module, "cpu")
    for step in range(40):
        batch = task.batch(torch.randperm(256, generator=seeded(step))[:32], draws_of(32, step))
        optimizer.zero_grad()
        task.losses(module, batch)["loss"].backward()
        optimizer.step()
    after = task.validate(module, "cpu")
    assert after["accuracy"] > 0.95 > before["accuracy"]
    assert after["auc"] > 0.99
    assert after["loss"] < 0.5 * before["loss"]
    assert after["better_than_trivial"]
    assert "held-out images" in after["verdict"]


def test_unknown_labels_change_neither_loss_nor_gradient():
    data = squares(16, 0)
    frame = data.frame.copy()
    frame.loc[:7, "Red"] = pd.NA
    batch = task_of(Images(data._images, frame)).batch(torch.arange(16), draws_of(16))
    task = task_of(Images(data._images, frame))
    torch.manual_seed(0)
    module = task.build_module()
    for p in module.parameters():
        p.data.add_(0.01)
    logits = module(batch["images"])
    known = ~torch.isnan(batch["targets"])
    assert int(known.sum()) == 24
    expected = F.binary_cross_entropy_with_logits(logits[known], batch["targets"][known])
    torch.testing.assert_close(task.losses(module, batch)["loss"], expected)


def test_micro_batches_have_the_gradient_of_the_whole_batch():
    data = squares(16, 0)
    data.frame.loc[:2, "Red"] = pd.NA
    task = task_of(data, balance="inverse_frequency")
    torch.manual_seed(0)
    module = task.build_module()
    batch = task.batch(torch.arange(16), draws_of(16))
    task.losses(module, batch)["loss"].backward()
    whole = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    for start in (0, 4, 8, 12):
        part = {name: value[start : start + 4] for name, value in batch.items()}
        (task.losses(module, part)["loss"] / 4).backward()
    parts = [p.grad for p in module.parameters() if p.grad is not None]
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_balancing_weighs_rare_and_common_values_alike():
    data = squares(64, 0)
    data.frame["Red"] = pd.array([1] * 8 + [0] * 56, dtype="Int8")
    task = task_of(data, balance="inverse_frequency")
    module = task.build_module()
    for p in module.parameters():
        p.data.zero_()  # every logit is 0, every term log 2
    images, targets = to_unit(data.images(torch.arange(64))), torch.full((64, 2), float("nan"))
    targets[:8, 0] = 1
    rare = float(task.losses(module, {"images": images, "targets": targets})["loss"].detach())
    targets[:, 0] = float("nan")
    targets[8:, 0] = 0
    common = float(task.losses(module, {"images": images, "targets": targets})["loss"].detach())
    assert rare == pytest.approx(common, rel=0.15)


def test_augmentation_follows_the_draws_and_moves_whole_images():
    task = task_of(squares(8, 0), flip=True, max_shift_pixels=3)
    first = task.batch(torch.arange(8), draws_of(8, 3))["images"]
    again = task.batch(torch.arange(8), draws_of(8, 3))["images"]
    other = task.batch(torch.arange(8), draws_of(8, 4))["images"]
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)
    originals = to_unit(squares(8, 0)._images)
    for image, original in zip(first, originals, strict=True):
        windows = [
            torch.roll(variant, (dy, dx), (1, 2))[:, 3:-3, 3:-3]
            for variant in (original, original.flip(2))
            for dy in range(-3, 4)
            for dx in range(-3, 4)
        ]
        assert any(torch.equal(image[:, 3:-3, 3:-3], window) for window in windows)


def test_the_scores_are_of_calibrated_answers_and_hold_the_calibration():
    generator = seeded(1)
    targets = (torch.rand(4000, 2, generator=generator) < torch.tensor([0.5, 0.05])).float()
    evidence = 2 * (2 * targets - 1) + 2 * torch.randn(4000, 2, generator=generator)
    prior = torch.logit(targets.mean(0))
    logits = 3 * (evidence + prior) + 1  # overconfident, and shifted
    scores = calibrated_scores(logits, targets, ATTRIBUTES)
    for index, name in enumerate(ATTRIBUTES):
        entry: dict[str, Any] = scores[name]
        assert entry["scale"] == pytest.approx(1 / 3, rel=0.1)
        assert entry["log_odds"] == pytest.approx(float(prior[index]), abs=0.02)
        assert entry["balanced_accuracy"] == pytest.approx(0.841, abs=0.03)  # Phi(1): what can be had
        assert entry["calibration_error"] < 0.02
        assert entry["uncalibrated_error"] > 2 * entry["calibration_error"]
    sensitivity = scores["Bright_Left"]["sensitivity"]
    assert sensitivity is not None
    assert sensitivity > 0.75  # though one in twenty has it


def test_a_constant_answer_is_told_to_be_no_better_than_guessing():
    targets = (torch.rand(200, 2, generator=seeded(2)) < 0.5).float()
    scores = calibrated_scores(torch.zeros(200, 2), targets, ATTRIBUTES)
    assert verdict(scores, 200).startswith("No better than guessing")


def test_mixed_and_erased_batches_follow_the_draws_and_keep_the_loss_finite():
    task = task_of(squares(16, 0), mixup=0.4, erase_probability=1.0)
    first, again = (task.batch(torch.arange(16), draws_of(16, 3)) for _ in range(2))
    torch.testing.assert_close(first["images"], again["images"])
    assert ((first["targets"] > 0) & (first["targets"] < 1)).any()
    assert first["images"].abs().max() <= 1
    module = task.build_module()
    assert torch.isfinite(task.losses(module, first)["loss"])


def test_unknown_attribute_names_its_neighbour():
    config = kind_config("tasks", {"kind": "attribute_classification", "attributes": ["Smilling"]})
    with pytest.raises(UsageError, match="Did you mean 'Smiling'"):
        classified_labels(config, LabelSchema(attributes=("Smiling", "Bald")))


def test_data_without_attributes_is_refused():
    config = kind_config("tasks", {"kind": "attribute_classification"})
    with pytest.raises(DataError, match="nothing to classify"):
        classified_labels(config, LabelSchema())


def test_all_labels_unknown_is_refused():
    data = squares(4, 0)
    data.frame[:] = pd.NA
    with pytest.raises(DataError, match="unknown"):
        task_of(Images(data._images, data.frame.astype("Int8")))


def test_an_image_is_judged_alike_whatever_its_batch():
    task = task_of(squares(8, 0))
    module = task.build_module().eval()
    images = to_unit(squares(8, 0)._images)
    torch.testing.assert_close(module(images)[3:4], module(images[3:4]), rtol=1e-4, atol=1e-5)


def test_auc_equals_the_share_of_ordered_pairs():
    scores = torch.tensor([0.1, 0.4, 0.4, 0.8, 0.3, 0.4])
    positive = torch.tensor([False, True, False, True, False, True])
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in scores[positive] for n in scores[~positive]]
    assert area_under_roc(scores, positive) == pytest.approx(sum(pairs) / len(pairs))


def test_scores_of_a_known_confusion():
    logits = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0, 5.0])
    targets = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, float("nan")])
    scores = label_scores(logits, targets)
    assert scores["accuracy"] == pytest.approx(3 / 5)
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores["majority"] == pytest.approx(3 / 5)
    assert (scores["num_known"], scores["num_positive"]) == (5, 3)


def test_scores_that_are_not_defined_are_none():
    scores = multilabel_scores(torch.ones(3, 1), torch.ones(3, 1), ["Always"])["Always"]
    assert scores["accuracy"] == 1.0
    assert scores["auc"] is None
    assert scores["balanced_accuracy"] is None
