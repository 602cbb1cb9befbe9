"""The control matrix: what changes in a face when one attribute of the request changes, at the same noise.

Letters: T toggled attributes, P pairs each, A attributes of a request, C attributes of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from facegen.evaluation.score_rows import Better, score_row
from facegen.evaluation.toggles import Toggle
from facegen.formats.reports import ScoreRow
from facegen.metrics import Z95, Share, pooled_share, share_of
from facegen.nn.multilabel_scores import mean_known
from facegen.processes import world
from facegen.sampling.records import BATCH_IMAGES

Draw = Callable[[Tensor, Sequence[int]], Tensor]
"""Requests (B, A) of +1, 0, -1 and a seed each -> images, uint8 (B, 3, H, W)."""
Answer = Callable[[Tensor], Tensor]
"""Images, uint8 (B, 3, H, W) -> what is seen in them, bool (B, C)."""


class Leak(Share):
    """The share of `num_pairs` in which an answer changed, and what redrawing every face would give."""

    num_pairs: int
    chance: float


class ControlRow(TypedDict):
    """What toggling one attribute did; see `control_matrix`."""

    attribute: str
    num_pairs: int
    hit: Share
    reversed: float
    effect: Share
    chance: float
    yes_when_off: float
    yes_when_on: float
    leakage: dict[str, Leak | None]
    mean_leakage: float | None
    gave_way: dict[str, int]


class Limits(TypedDict):
    """What a classifier's own errors make of a perfect generator; see `classifier_limits`."""

    accuracy: float | None
    hit: float | None
    leakage: float | None


@dataclass(frozen=True)
class ControlMatrix:
    """What toggling did; see `control_matrix`.

    `rows` has one entry a toggled attribute, `hit` and `leakage` the mean of all; `pictures` are the first
    pairs of each, uint8 (T, K, 2, 3, H, W), off before on, and `picture_answers` (T, K, 2) bool whether the
    toggled attribute was seen in them.
    """

    rows: tuple[ControlRow, ...]
    hit: Share
    leakage: Share | None
    num_images: int
    pictures: Tensor = field(repr=False)
    picture_answers: Tensor = field(repr=False)

    @property
    def leaks(self) -> list[tuple[str, Leak]]:
        """Every cell of `leakage` that was measured, with the name of its answer."""
        return [(name, cell) for row in self.rows for name, cell in row["leakage"].items() if cell]


def control_matrix(
    toggles: Sequence[Toggle],
    answers: Sequence[str],
    seeds: Sequence[int],
    draw: Draw,
    answer: Answer,
    *,
    keep_pairs: int = 3,
    advance: Callable[[int], None] = lambda count: None,
) -> ControlMatrix:
    """Draw every pair of `toggles` with the seed of its place in `seeds` (P,) and compare the answers.

    A row has, with 95 % intervals,

    - `hit`: share of pairs whose answer went from no to yes, as asked; `reversed` those from yes to no;
    - `effect`: hit less reversed, by how much asking raises the share of yes. It is 0 for whoever ignores the
      request, however faces are drawn (interval of Bonett and Price 2012 for paired shares);
    - `chance`: the hits of a generator that draws another face each time, q (1 - q) with q the share of yes;
    - `leakage`: for every other answer, the share of pairs in which it changed, out of those in which it was
      asked the same off and on; None where there is no such pair. Its `chance` is 2 q (1 - q).
    - `mean_leakage`: all of these pairs together.

    `hit` and `leakage` of the whole are pooled; their intervals resample seeds (bootstrap), as faces of the
    same seed go together.

    Images of equal request and seed are drawn once, in up to 64 rows at a time; `advance` is told how many of
    the 2 T P images that makes.

    Raises:
        ValueError: no toggles, or as many seeds as there are no pairs.
    """
    if not toggles or any(len(toggle.off) != len(seeds) for toggle in toggles) or not len(seeds):
        raise ValueError("a control matrix needs toggles with as many pairs as seeds")
    requests = torch.stack([torch.stack((toggle.off, toggle.on)) for toggle in toggles])  # (T, 2, P, A)
    seen, pictures, num_images = _play(requests, seeds, draw, answer, min(keep_pairs, len(seeds)), advance)
    same = np.stack([_asked_the_same(toggle, answers) for toggle in toggles])  # (T, P, C)
    columns = [list(answers).index(toggle.name) for toggle in toggles]
    told = np.stack([both[:, :, column].T for both, column in zip(seen, columns, strict=True)])  # (T, P, 2)
    changes, asked = ((seen[:, 0] != seen[:, 1]) & same).sum((0, 2)), same.sum((0, 2))
    return ControlMatrix(
        rows=tuple(
            _row(toggle, answers, off, on, asked_the_same)
            for toggle, (off, on), asked_the_same in zip(toggles, seen, same, strict=True)
        ),
        hit=pooled_share((~told[..., 0] & told[..., 1]).sum(0), np.full(len(seeds), len(toggles))),
        leakage=pooled_share(changes, asked) if asked.any() else None,
        num_images=num_images,
        pictures=pictures,
        picture_answers=torch.from_numpy(told[:, : pictures.shape[1]]),
    )


def _play(
    requests: Tensor,
    seeds: Sequence[int],
    draw: Draw,
    answer: Answer,
    keep_pairs: int,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, Tensor, int]:
    """What is seen (T, 2, P, C) bool, pictures (T, K, 2, 3, H, W) uint8, and how many images were drawn."""
    num_toggles, _, num_pairs, num_attributes = requests.shape
    places = torch.arange(num_pairs).expand(num_toggles, 2, num_pairs)
    keyed = torch.cat([places.unsqueeze(3), requests.long()], dim=3).reshape(-1, 1 + num_attributes)
    # sorted by place: seed by seed
    unique, where, times = torch.unique(keyed, dim=0, return_inverse=True, return_counts=True)
    seen, kept = [], []
    parts = unique.split(BATCH_IMAGES)
    drawn = world().divided(
        parts,
        lambda part: draw(part[:, 1:].to(requests.dtype), [seeds[place] for place in part[:, 0].tolist()]),
    )
    for part, asked, images in zip(parts, times.split(BATCH_IMAGES), drawn, strict=True):
        seen.append(answer(images).bool())
        kept.append(images[part[:, 0] < keep_pairs])
        advance(int(asked.sum()))
    where = where.view(num_toggles, 2, num_pairs)
    pictures = torch.cat(kept)[where[:, :, :keep_pairs].transpose(1, 2)]
    return torch.cat(seen)[where].numpy(), pictures, len(unique)


def _asked_the_same(toggle: Toggle, answers: Sequence[str]) -> np.ndarray:
    """(P, C): whether an answer's attribute is asked the same off and on; also where it is never asked."""
    same = dict(zip(toggle.names, (toggle.off == toggle.on).T.numpy(), strict=True))
    always = np.ones(len(toggle.off), dtype=bool)
    return np.stack([same.get(name, always) for name in answers], axis=1)


def _row(
    toggle: Toggle, answers: Sequence[str], off: np.ndarray, on: np.ndarray, same: np.ndarray
) -> ControlRow:
    column = list(answers).index(toggle.name)
    before, after = off[:, column], on[:, column]
    hits, reversed_, count = int((~before & after).sum()), int((before & ~after).sum()), len(off)
    share = float(np.concatenate([before, after]).mean())
    changed = (off != on) & same
    return {
        "attribute": toggle.name,
        "num_pairs": count,
        "hit": share_of(hits, count),
        "reversed": reversed_ / count,
        "effect": _difference(hits, reversed_, count),
        "chance": share * (1 - share),
        "yes_when_off": float(before.mean()),
        "yes_when_on": float(after.mean()),
        "leakage": {
            name: _leak(off[:, i], on[:, i], same[:, i])
            for i, name in enumerate(answers)
            if name != toggle.name
        },
        "mean_leakage": float(changed.sum() / same.sum()) if same.any() else None,
        "gave_way": toggle.gave_way,
    }


def _leak(off: np.ndarray, on: np.ndarray, same: np.ndarray) -> Leak | None:
    count = int(same.sum())
    if count == 0:
        return None
    share = float(np.concatenate([off[same], on[same]]).mean())
    changed = int((off != on)[same].sum())
    return {**share_of(changed, count), "num_pairs": count, "chance": 2 * share * (1 - share)}


def _difference(gained: int, lost: int, count: int) -> Share:
    """`(gained - lost) / count` with the adjusted Wald interval of Bonett & Price 2012 (Stat. Methods Med.
    Res. 21), which holds for few discordant pairs, too."""
    up, down = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    spread = Z95 * ((up + down - (up - down) ** 2) / (count + 2)) ** 0.5
    low, high = max(-1.0, up - down - spread), min(1.0, up - down + spread)
    return {"share": (gained - lost) / count, "low": low, "high": high}


def classifier_limits(held_out: dict[str, dict[str, Any]], name: str) -> Limits:
    """What a classifier's own errors, were they independent, make of a perfect generator.

    `hit` is sensitivity times specificity: of faces that change as asked, how many it sees change. `leakage`
    is 2 a (1 - a), with its accuracy a, how often it answers otherwise about two faces alike in this. Two
    pictures of one face deceive it alike, so that real leakage may be lower. None where unknown.
    """
    scores = held_out.get(name, {})
    accuracy, yes, no = (scores.get(key) for key in ("accuracy", "sensitivity", "specificity"))
    yes = scores.get("recall", yes)  # of a class: how often it is the likeliest
    return {
        "accuracy": accuracy,
        "hit": None if yes is None or no is None else yes * no,
        "leakage": None if accuracy is None else 2 * accuracy * (1 - accuracy),
    }


def control_scores(matrix: ControlMatrix, limits: dict[str, Limits]) -> dict[str, ScoreRow]:
    """The matrix as scores that can be compared: `hit`, `leakage` and for each toggled name `hit NAME`.

    `floor` is what redrawing every face would give, `ceiling` what the classifier of `limits` (by name, from
    `classifier_limits`) would grant a perfect generator. Which names were toggled is a setting of the pooled
    two.
    """
    toggled = [row["attribute"] for row in matrix.rows]
    settings = {"toggled": toggled}
    floor = mean_known([row["chance"] for row in matrix.rows])
    ceiling = mean_known([limits[name]["hit"] for name in toggled])
    told = "the share of changed wishes that come true"
    scores = {"hit": _score(matrix.hit, "higher", told, floor, ceiling, settings)}
    if matrix.leakage is not None:
        floor = mean_known([cell["chance"] for _, cell in matrix.leaks])
        ceiling = mean_known([limits[name]["leakage"] for name, _ in matrix.leaks])
        told = "the share of other answers that change"
        scores["leakage"] = _score(matrix.leakage, "lower", told, floor, ceiling, settings)
    for row in matrix.rows:
        name = row["attribute"]
        told = f"the share of requests for {name} that come true"
        scores[f"hit {name}"] = _score(row["hit"], "higher", told, row["chance"], limits[name]["hit"], {})
    return scores


def _score(
    found: Share, better: Better, told: str, floor: float | None, ceiling: float | None, settings: Any
) -> ScoreRow:
    ends = {"floor": floor, "ceiling": ceiling, "settings": settings}
    return score_row("control", found["share"], found, better, told, **ends)
