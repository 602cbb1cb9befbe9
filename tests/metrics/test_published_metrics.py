"""CMMD, MIND and density and coverage against their authors' formulas, written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facegen.metrics import ReferenceFeatures, cmmd, mind, precision_recall


def unit(count: int, width: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    """Embeddings of length one, float32."""
    features = torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift
    return torch.nn.functional.normalize(features, dim=1)


def relu(count: int, width: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.relu(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift)


def gaussian_kernels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """exp(-|x - y|^2 / (2 * 10^2)), one pair after the other."""
    return np.array([[np.exp(-((a - b) ** 2).sum() / 200) for b in y] for a in x])


@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 47)])
def test_cmmd_is_its_authors_statistic_times_a_thousand(n: int, m: int) -> None:
    x, y = unit(n, 12, 1, 0.3), unit(m, 12, 2)
    a, b = x.double().numpy(), y.double().numpy()
    xx, yy, xy = gaussian_kernels(a, a), gaussian_kernels(b, b), gaussian_kernels(a, b)
    expected = 1000 * (xx.mean() + yy.mean() - 2 * xy.mean())
    found = cmmd.build(cmmd.Config(), reference=ReferenceFeatures.of(y)).judge(x)["cmmd"]
    assert found.value == pytest.approx(expected, rel=1e-5)
    without_itself = (xx.sum() - n) / (n * (n - 1)) + (yy.sum() - m) / (m * (m - 1)) - 2 * xy.mean()
    assert found.estimate == pytest.approx(1000 * without_itself, rel=1e-5)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (50, 80), (80, 50)])
def test_mind_is_its_authors_mean_over_sorted_shadows(n: int, m: int) -> None:
    width, projections, count = 16, 30, min(n, m)
    x, y = relu(n, width, 1, 0.4), relu(m, width, 2)
    generator = torch.Generator().manual_seed(2020)
    ours, theirs = x.numpy(), y.numpy()
    if n > count:
        ours = ours[torch.randperm(n, generator=generator)[:count].numpy()]
    if m > count:
        theirs = theirs[torch.randperm(m, generator=generator)[:count].numpy()]
    shadows = []
    for direction in torch.randn(projections, width, generator=generator).double().numpy():
        direction = direction / np.sqrt((direction**2).sum())
        shadows.append(((np.sort(ours @ direction) - np.sort(theirs @ direction)) ** 2).mean())
    metric = mind.build(mind.Config(projections=projections), reference=ReferenceFeatures.of(y))
    assert metric.judge(x)["mind"].value == pytest.approx(3 * width * np.mean(shadows), rel=1e-5)


def test_mind_of_gaussians_is_their_distance() -> None:
    """Of N(0, I) and N(s, I) it is 3 D E[(u.s)^2] = 3 |s|^2."""
    x, y = (torch.randn(6000, 4, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    metric = mind.build(mind.Config(projections=200), reference=ReferenceFeatures.of(y))
    found = metric.judge(x + torch.tensor([1.0, 0.0, 0.0, 0.0]))["mind"]
    assert found.value == pytest.approx(3.0, rel=0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 3 < found.high


def test_density_and_coverage_are_those_of_their_authors_for_copies_too() -> None:
    """Their balls are open: a sample on the edge of one is outside."""
    real = torch.tensor([[float(place)] for place in range(40)])
    fake = torch.cat([real[:10] + 5.0, real[:6]])
    k, x, y = 5, real.numpy(), fake.numpy()
    apart = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    radii = np.sort(apart, axis=1)[:, k]
    distances = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))  # (real, fake)
    density = (distances < radii[:, None]).sum(0).mean() / k
    coverage = (distances.min(1) < radii).mean()
    found = precision_recall.build(precision_recall.Config(), reference=ReferenceFeatures.of(real)).judge(
        fake
    )
    assert found["density"].value == pytest.approx(density)
    assert found["coverage"].value == pytest.approx(coverage)
