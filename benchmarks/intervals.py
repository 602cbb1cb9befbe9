"""How often each 95 % interval that facegen prints holds the truth, on synthetic data whose truth is known.

    python benchmarks/intervals.py --draws 1000 --out intervals.json

Truths are exact or of many images; each draw makes new images and, where there is one, a new reference.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import intervals_of_groups
import numpy as np
import pandas as pd
import torch
from interval_case import IMAGES, REAL, WIDTH, Case, Ends, features, shifted_kernel
from torch import Tensor

from facegen.formats.influences import Influence, difference_variance
from facegen.metrics import (
    Z95,
    FeatureMetric,
    ReferenceFeatures,
    cmmd,
    fid,
    inception_score,
    kid,
    mind,
    precision_recall,
    share_of,
)
from facegen.metrics.attributes import AttributeAgreement, Config
from facegen.metrics.clip_score import ClipScore
from facegen.metrics.clip_score import Config as ClipConfig
from facegen.metrics.reconstruction import Config as FidelityConfig
from facegen.metrics.reconstruction import ReconstructionFidelity

MANY = 4000  # draws that an expectation at a count is the mean of
WITHIN = (0.93, 0.97)


def unit(count: int, generator: torch.Generator, shift: float = 0.0) -> Tensor:
    return torch.nn.functional.normalize(features(count, generator, shift), dim=1)


def judged(metric: FeatureMetric, images: Tensor) -> dict[str, Ends]:
    return {
        name: (score.low, score.high)
        for name, score in metric.judge(images).items()
        if score.low is not None and score.high is not None
    }


def distances(generator: torch.Generator) -> dict[str, Ends]:
    """FID and KID between Gaussians one of which is shifted by 0.4 in each feature."""
    reference = ReferenceFeatures.of(features(REAL, generator))
    images = features(IMAGES, generator, 0.4)
    found = judged(fid.build(fid.Config(), reference=reference), images)
    return found | judged(kid.build(kid.Config(subsets=1), reference=reference), images)


def distances_truth(generator: torch.Generator) -> dict[str, float]:
    apart = WIDTH * 0.4**2
    return {"fid": apart, "fid_infinity": apart, "kid": shifted_kernel(generator, 0.4)}


def clip_distance(generator: torch.Generator) -> dict[str, Ends]:
    metric = cmmd.build(cmmd.Config(), reference=ReferenceFeatures.of(unit(REAL, generator)))
    return judged(metric, unit(IMAGES, generator, 0.4))


def clip_distance_truth(generator: torch.Generator) -> dict[str, float]:
    one, two = unit(400_000, generator).double(), unit(400_000, generator, 0.4).double()

    def mean(a: Tensor, b: Tensor) -> float:
        return float(torch.exp(-(a - b.roll(1, 0)).square().sum(1) / 200).mean())

    return {"cmmd": 1000 * (mean(one, one) + mean(two, two) - 2 * mean(one, two))}


def transport(generator: torch.Generator, shift: float = 0.4) -> tuple[float, Ends]:
    reference = ReferenceFeatures.of(features(IMAGES, generator))
    score = mind.build(mind.Config(projections=50), reference=reference).judge(
        features(IMAGES, generator, shift)
    )["mind"]
    assert score.low is not None
    assert score.high is not None
    return score.value, (score.low, score.high)


def classes(generator: torch.Generator) -> tuple[float, Ends]:
    weights = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(9))
    score = inception_score.build(inception_score.Config(), class_weights=weights).judge(
        features(2 * IMAGES, generator)
    )["inception_score"]
    assert score.low is not None
    assert score.high is not None
    return score.value, (score.low, score.high)


def at_this_count(draw: Callable[[torch.Generator], tuple[float, Ends]], name: str) -> Case:
    """An interval for the mean score at this number of images."""
    return Case(
        lambda generator: {name: draw(generator)[1]},
        lambda generator: {name: float(np.mean([draw(generator)[0] for _ in range(MANY)]))},
    )


FIXED = torch.Generator().manual_seed(77)
REAL_SET, FAKE_SET = features(REAL, FIXED), features(IMAGES, FIXED, 0.6)


def of_images(generator: torch.Generator) -> dict[str, Any]:
    """Precision and density of new images in the neighbourhoods of one real set."""
    metric = precision_recall.build(precision_recall.Config(), reference=ReferenceFeatures.of(REAL_SET))
    found = metric.judge(features(IMAGES, generator, 0.6))
    return {name: found[name] for name in ("precision", "density")}


def of_real(generator: torch.Generator) -> dict[str, Any]:
    """Recall of new real images in the neighbourhoods of one generated set."""
    reference = ReferenceFeatures.of(features(REAL, generator))
    found = precision_recall.build(precision_recall.Config(), reference=reference).judge(FAKE_SET)
    return {"recall": found["recall"]}


def neighbourhoods(found: Callable[[torch.Generator], dict[str, Any]]) -> Case:
    def truth(generator: torch.Generator) -> dict[str, float]:
        many = [found(generator) for _ in range(MANY)]
        return {name: float(np.mean([one[name].value for one in many])) for name in many[0]}

    return Case(
        lambda generator: {name: (score.low, score.high) for name, score in found(generator).items()}, truth
    )


def agreement(generator: torch.Generator) -> dict[str, Ends]:
    """Of 60 requests for 4 attributes each, whose luck goes together within an image."""
    return {f"attributes: {name}": (share["low"], share["high"]) for name, share in _agreement(generator)}


def _agreement(generator: torch.Generator, count: int = 60) -> list[tuple[str, Any]]:
    asked = torch.randint(0, 2, (count, 4), generator=generator)
    luck = torch.rand(count, 1, generator=generator)
    right = torch.rand(count, 4, generator=generator) < 0.6 + 0.35 * luck
    seen = torch.where(right, asked, 1 - asked)
    names = ("a", "b", "c", "d")
    metric = AttributeAgreement(Config(), logits=lambda images: images - 0.5, attributes=names)
    metric.update(seen.float(), pd.DataFrame(asked.numpy(), columns=pd.Index(names)))
    found: Any = metric.compute()
    return [(name, found[name]) for name in ("all", "present", "absent", "whole_request")]


def agreement_truth(generator: torch.Generator) -> dict[str, float]:
    return {f"attributes: {name}": share["share"] for name, share in _agreement(generator, 400_000 // 4)}


def captions(generator: torch.Generator, count: int = 60) -> tuple[float, Ends]:
    texts = {"one": torch.tensor([1.0, 0.0, 0.0, 0.0]), "two": torch.tensor([0.0, 1.0, 0.0, 0.0])}
    metric = ClipScore(
        ClipConfig(),
        image_features=lambda images: images,
        text_features=lambda words: torch.stack([texts[word] for word in words]),
    )
    asked = ["one", "two"] * (count // 2)
    base = torch.stack([texts[word] for word in asked])
    metric.update(base + 0.5 * features(count, generator), pd.DataFrame({"caption": asked}))
    found = metric.compute()
    return found["score"], (found["low"], found["high"])


def fidelity(generator: torch.Generator, count: int = 60) -> dict[str, Ends]:
    found = _fidelity(generator, count)
    return {f"reconstruction: {name}": (row["low"], row["high"]) for name, row in found.items()}


def _fidelity(generator: torch.Generator, count: int) -> Any:
    """Pictures of 12 pixels that come back with noise, more in some than in others."""
    images = torch.randint(40, 216, (count, 3, 12, 12), generator=generator)
    scale = 5 + 25 * torch.rand(count, 1, 1, 1, generator=generator)
    noise = torch.randn(images.shape, generator=generator) * scale
    metric = ReconstructionFidelity(FidelityConfig())
    metric.update((images + noise).clamp(0, 255).byte(), images.byte())
    return metric.compute()


def fidelity_truth(generator: torch.Generator) -> dict[str, float]:
    return {f"reconstruction: {name}": row["mean"] for name, row in _fidelity(generator, 40_000).items()}


def flagged(generator: torch.Generator) -> dict[str, Ends]:
    """A share of images, as of copies, at 3 in 100."""
    hits = int((torch.rand(IMAGES, generator=generator) < 0.03).sum())
    share = share_of(hits, IMAGES)
    return {"memorization: flagged": (share["low"], share["high"])}


def paired(generator: torch.Generator) -> dict[str, Ends]:
    """The difference of two KIDs and FIDs of 500 images of the same luck, one a little farther off, one
    reference."""
    reference = ReferenceFeatures.of(features(500, generator))
    luck = features(500, generator)
    found: dict[str, Ends] = {}
    for name, metric in (
        ("fid", fid.build(fid.Config(), reference=reference)),
        ("kid", kid.build(kid.Config(subsets=1), reference=reference)),
    ):
        a, b = (metric.judge(luck + shift)[name] for shift in (0.4, 0.5))
        assert isinstance(a.influence, Influence)
        assert isinstance(b.influence, Influence)
        assert a.estimate is not None
        assert b.estimate is not None
        variance, _ = difference_variance(a.influence, b.influence, same_requests=True)
        middle, reach = b.estimate - a.estimate, Z95 * variance**0.5
        found[f"compare, paired: {name}"] = (middle - reach, middle + reach)
    return found


def paired_truth(generator: torch.Generator) -> dict[str, float]:
    apart = WIDTH * (0.5**2 - 0.4**2)
    further = shifted_kernel(generator, 0.5) - shifted_kernel(generator, 0.4)
    return {"compare, paired: fid": apart, "compare, paired: kid": further}


CASES = {
    "distances": Case(distances, distances_truth),
    "cmmd": Case(clip_distance, clip_distance_truth),
    "mind": at_this_count(transport, "mind"),
    "inception_score": at_this_count(classes, "inception_score"),
    "of images": neighbourhoods(of_images),
    "of real": neighbourhoods(of_real),
    "attributes": Case(agreement, agreement_truth),
    "clip_score": Case(
        lambda g: {"clip_score": captions(g)[1]}, lambda g: {"clip_score": captions(g, 100_000)[0]}
    ),
    "reconstruction": Case(fidelity, fidelity_truth),
    "memorization": Case(flagged, lambda generator: {"memorization: flagged": 0.03}),
    "paired": Case(paired, paired_truth),
    **intervals_of_groups.CASES,
}


def coverage(case: Case, draws: int, seed: int = 1) -> dict[str, float]:
    """By name the share of draws whose interval holds the truth."""
    truth = case.truth(torch.Generator().manual_seed(seed))
    generator, hits = torch.Generator().manual_seed(seed + 1), dict.fromkeys(truth, 0)
    for _ in range(draws):
        for name, (low, high) in case.draw(generator).items():
            hits[name] += low <= truth[name] <= high
    return {name: count / draws for name, count in hits.items()}


def main() -> None:
    """Print the table, and write it to `--out`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", choices=CASES, nargs="*", default=list(CASES))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found: dict[str, float] = {}
    for name in asked.only:
        here = coverage(CASES[name], asked.draws)
        found |= here
        for which, share in here.items():
            mark = "" if WITHIN[0] <= share <= WITHIN[1] else "  outside 93 to 97 %"
            print(f"{which:32} {100 * share:5.1f} %{mark}", flush=True)
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
