"""Intervals of what is told group by group, wish by wish and label by label; see `intervals.py`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import pandas as pd
import torch
from interval_case import IMAGES, REAL, WIDTH, Case, Ends, features, shifted_kernel
from torch import Tensor

from facegen.evaluation.control_matrix import control_matrix
from facegen.evaluation.edit_matrix import Looks, edit_counts
from facegen.evaluation.edit_scores import Switch, edit_scores
from facegen.evaluation.toggles import toggle_requests
from facegen.metrics import ReferenceFeatures, classification, colour_shifts, diversity
from facegen.metrics.classification import Config as ClassificationConfig
from facegen.metrics.subgroups import Config as GroupConfig
from facegen.metrics.subgroups import Group, SubgroupScores

NAMES = ("a", "b", "c", "d")
SHIFT = 0.4  # of drawn features against real ones
TRUE = 100_000  # images or pairs that a share's truth is counted in


def labelled(count: int, generator: torch.Generator) -> Any:
    labels = torch.randint(0, 2, (count, len(NAMES)), generator=generator)
    return pd.DataFrame(labels.numpy(), columns=pd.Index(NAMES))


def group(generator: torch.Generator) -> dict[str, Ends]:
    """One group of some 100 images among 200, beside 150 among 300."""
    records, real = labelled(IMAGES, generator), labelled(REAL, generator)
    metric = SubgroupScores(
        GroupConfig(),
        features=lambda images: images[:, :WIDTH],
        logits=lambda images: images[:, WIDTH:],
        attributes=NAMES,
        groups=[Group("a", "yes")],
        reference=features(REAL, generator),
        reference_records=real,
    )
    asked = torch.tensor(records.to_numpy())
    metric.update(torch.cat([features(IMAGES, generator, SHIFT), answers(asked, generator)], 1), records)
    row = metric.compute()[1]
    return {
        f"subgroups: {name}": (row[name]["low"], row[name]["high"]) for name in ("kid", "frechet", "accuracy")
    }


def answers(asked: Tensor, generator: torch.Generator) -> Tensor:
    """Logits (N, A) of what came true of requests of 0 and 1; within an image the luck goes together."""
    luck = torch.rand(len(asked), 1, generator=generator)
    right = torch.rand(asked.shape, generator=generator) < 0.6 + 0.35 * luck
    return torch.where(right, asked, 1 - asked) - 0.5


def group_truth(generator: torch.Generator) -> dict[str, float]:
    truths = {
        "kid": shifted_kernel(generator, SHIFT),
        "frechet": WIDTH * SHIFT**2,
        "accuracy": 0.6 + 0.35 / 2,
    }
    return {f"subgroups: {name}": value for name, value in truths.items()}


def wishes(generator: torch.Generator, num_pairs: int = 80) -> dict[str, tuple[float, Ends]]:
    """Three of four wishes toggled, of a generator that obeys each in its own measure and leaks."""
    pull = torch.tensor([1.0, 0.7, 0.4, 0.8])
    leak = 0.25 * (torch.ones(4, 4) - torch.eye(4))
    luck = torch.randn(num_pairs, 4, generator=generator)

    def draw(requests: Tensor, seeds: Sequence[int]) -> Tensor:
        asked = requests.float()
        seen = asked * pull + asked @ leak + luck[list(seeds)] > 0
        return (255 * seen).byte()[:, None, None, :].expand(-1, 3, 1, -1)

    base = 2 * torch.randint(0, 2, (num_pairs, 4), generator=generator, dtype=torch.int8) - 1
    toggles = [toggle_requests(base, NAMES, name, num_pairs) for name in NAMES[:3]]
    found = control_matrix(toggles, NAMES, range(num_pairs), draw, lambda images: images[:, 0, 0] > 0)
    assert found.leakage is not None
    first = found.rows[0]
    cell = first["leakage"]["b"]
    assert cell is not None
    shares = {
        "hit": found.hit,
        "leakage": found.leakage,
        "hit of one": first["hit"],
        "effect of one": first["effect"],
        "leakage of one to one": cell,
    }
    return {
        f"control: {name}": (share["share"], (share["low"], share["high"])) for name, share in shares.items()
    }


def edits(generator: torch.Generator, num_faces: int = 80) -> dict[str, tuple[float, Ends]]:
    """Two attributes switched in the same faces, some of which have what is wanted already."""
    plain = torch.rand(num_faces, 4, generator=generator) < torch.tensor([0.7, 0.5, 0.3, 0.5])
    luck = torch.rand(num_faces, 1, generator=generator)
    same = torch.ones(num_faces, 4, dtype=torch.bool).numpy()
    switches: list[Switch] = []
    for column, name in enumerate(NAMES[:2]):
        wanted = torch.rand(num_faces, generator=generator) < 0.4
        turned = torch.rand(num_faces, 4, generator=generator) < 0.3 * luck
        came = torch.rand(num_faces, generator=generator) < 0.5 + 0.4 * luck[:, 0]
        turned[:, column] = (plain[:, column] != wanted) & came
        pixels = 5 + 8 * luck[:, 0] + torch.rand(num_faces, generator=generator)
        looks = Looks(answers=[plain ^ turned], pixels=[pixels])
        counts = edit_counts(column, wanted.numpy(), same, plain.numpy(), looks)
        switches.append(Switch(name, 1.0, range(num_faces), counts))
    found: dict[str, tuple[float, Ends]] = {}
    for name, row in edit_scores(switches, {}, {}, "")[0].items():
        assert row.low is not None
        assert row.high is not None
        found[f"edit: {name}"] = row.value, (row.low, row.high)
    return found


def people(generator: torch.Generator, count: int = 100) -> dict[str, Ends]:
    """Of drawn people that differ less than real ones, by eight tenths."""
    ours, real = 0.8 * features(count, generator), features(2 * count, generator)
    everyone = (torch.ones(len(ours), dtype=torch.bool), torch.ones(len(real), dtype=torch.bool))
    score = diversity.build(diversity.Config(), reference=ReferenceFeatures.of(real)).judge(ours)["diversity"]
    difference = diversity.group_spreads(ours, real, [everyone])[0]["difference"]
    assert score.low is not None
    assert score.high is not None
    assert difference is not None
    return {
        "diversity": (score.low, score.high),
        "diversity: difference": (difference["low"], difference["high"]),
    }


def people_truth(generator: torch.Generator) -> dict[str, float]:
    apart = float((features(400_000, generator) - features(400_000, generator)).norm(dim=1).mean())
    return {"diversity": 0.8 * apart, "diversity: difference": -0.2 * apart}


def judge(generator: torch.Generator, count: int = 120) -> dict[str, Ends]:
    """A classifier whose evidence is a Gaussian about -0.5 or 0.5."""
    truth = (torch.rand(count, 1, generator=generator) < 0.3).float()
    evidence = torch.randn(count, 1, generator=generator) + truth - 0.5
    metric = classification.build(ClassificationConfig(), labels=("a",))
    metric.update(evidence, evidence.sigmoid(), truth)
    found = metric.compute()["a"]
    return {f"classifier: {name}": found[f"{name}_interval"] for name in ("auc", "balanced_accuracy")}


def judge_truth(generator: torch.Generator) -> dict[str, float]:
    normal = NormalDist()
    return {"classifier: auc": normal.cdf(0.5**0.5), "classifier: balanced_accuracy": normal.cdf(0.5)}


def colours(generator: torch.Generator) -> dict[str, Ends]:
    """What all six together leave to a shift of 0: it is in there where each of them holds."""
    drawn, real = (torch.randn(count, 6, generator=generator) for count in (IMAGES, REAL))
    shifts = colour_shifts(drawn, real).values()
    return {"colour: all six": (max(one["low"] for one in shifts), min(one["high"] for one in shifts))}


def told(found: dict[str, tuple[float, Ends]]) -> dict[str, float]:
    return {name: value for name, (value, _) in found.items()}


def ends(found: dict[str, tuple[float, Ends]]) -> dict[str, Ends]:
    return {name: interval for name, (_, interval) in found.items()}


CASES = {
    "subgroups": Case(group, group_truth),
    "control": Case(lambda g: ends(wishes(g)), lambda g: told(wishes(g, TRUE))),
    "edit": Case(lambda g: ends(edits(g)), lambda g: told(edits(g, TRUE))),
    "diversity": Case(people, people_truth),
    "classifier": Case(judge, judge_truth),
    "colour": Case(colours, lambda generator: {"colour: all six": 0.0}),
}
