"""Platt scaling: known parameters are found, and probabilities hold on images it was not fitted on."""

from __future__ import annotations

import pytest
import torch

from facegen.nn.calibration import (
    calibration_error,
    calibration_of,
    cross_fitted,
    fit_calibration,
)


def drawn(count: int, seed: int = 0, scale: float = 0.4, offset: float = -1.0):
    """Logits (count, 1), and targets that are yes with probability sigmoid(scale * logit + offset)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(count, 1, generator=generator)
    yes = torch.rand(count, 1, generator=generator) < torch.sigmoid(scale * logits + offset)
    return logits, yes.float()


def test_the_scale_and_offset_that_made_the_targets_are_found():
    calibration = fit_calibration(*drawn(50_000))
    assert float(calibration.scale) == pytest.approx(0.4, abs=0.02)
    assert float(calibration.offset) == pytest.approx(-1.0, abs=0.05)


def test_it_is_the_likeliest_of_all_near_it():
    logits, targets = drawn(500)
    fitted = fit_calibration(logits, targets)

    def cost(scale: float, offset: float) -> float:
        z = scale * logits + offset
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, targets, reduction="sum")
        return float(loss) + ((scale - 1) ** 2 + offset**2) / 8

    best = cost(float(fitted.scale), float(fitted.offset))
    for change in (-0.03, 0.03):
        assert best < cost(float(fitted.scale) + change, float(fitted.offset))
        assert best < cost(float(fitted.scale), float(fitted.offset) + change)


def test_probabilities_hold_on_other_images():
    calibration = fit_calibration(*drawn(5000))
    logits, targets = drawn(20_000, seed=1)
    before = calibration_error(torch.sigmoid(logits)[:, 0], targets[:, 0])
    after = calibration_error(calibration.probabilities(logits)[:, 0], targets[:, 0])
    assert after is not None
    assert before is not None
    assert after < 0.015 < 0.1 < before


def test_separable_and_few_targets_keep_it_finite_and_upright():
    logits = torch.tensor([[-30.0, 5.0], [-20.0, 4.0], [25.0, -5.0], [30.0, -6.0]])
    targets = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])  # the second is upside down
    calibration = fit_calibration(logits, targets)
    assert torch.isfinite(torch.stack([calibration.scale, calibration.offset, calibration.log_odds])).all()
    assert (calibration.scale > 0).all()
    assert ((calibration.probabilities(logits)[:, 0] > 0.5) == (targets[:, 0] > 0.5)).all()


def test_unknown_targets_count_nowhere():
    logits, targets = drawn(300)
    more = torch.cat([targets, torch.full((50, 1), torch.nan)])
    there = fit_calibration(torch.cat([logits, torch.full((50, 1), 9.0)]), more)
    torch.testing.assert_close(there.scale, fit_calibration(logits, targets).scale)
    assert calibration_error(torch.tensor([0.3]), torch.tensor([torch.nan])) is None


def test_evidence_takes_the_base_rate_off():
    logits, targets = drawn(20_000, offset=-3.0)
    calibration = fit_calibration(logits, targets)
    rate = targets.mean()
    torch.testing.assert_close(
        calibration.evidence(logits),
        torch.logit(calibration.probabilities(logits).double()).float() - torch.logit(rate),
        atol=2e-3,
        rtol=1e-3,
    )


def test_no_image_judges_a_calibration_that_saw_it():
    logits, targets = drawn(40)
    before, _ = cross_fitted(logits, targets)
    targets[7] = 1 - targets[7]
    after, _ = cross_fitted(logits, targets)
    assert before[7] == after[7]
    assert not torch.equal(before, after)


def test_entries_are_read_back_and_missing_ones_change_nothing():
    calibration = fit_calibration(*drawn(100))
    again = calibration_of(calibration.entries(["Smiling"]), ["Smiling", "Never_Fitted"])
    logits = torch.randn(5, 2)
    torch.testing.assert_close(again.evidence(logits)[:, :1], calibration.evidence(logits[:, :1]))
    torch.testing.assert_close(again.evidence(logits)[:, 1], logits[:, 1])
