"""What single images add to a score, kept beside its report so that two scores compare image by image.

    RUN/evaluations/<report>.safetensors: `<score>/images` (N,), `<score>/reference` (M,), float32

Scores of the same requests and seeds share their luck; their difference is far surer than their values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from facegen.errors import DataError
from facegen.formats.files import atomic_write, sha256_of

SUFFIX = ".safetensors"
NOTHING = torch.empty(0)


@dataclass(frozen=True)
class Influence:
    """How much each judged image moves an estimate, `images` (N,), and each image it is held against,
    `reference` (M,); M is 0 where there are none.

    The estimate's variance is var(images) / N + var(reference) / `num_reference` + `rest`, the last being
    what first-order influences leave out. `num_reference` is more than M where M were drawn of them.
    """

    images: Tensor
    reference: Tensor = field(default_factory=lambda: NOTHING)
    num_reference: int = 0
    rest: float = 0.0

    @staticmethod
    def of_ratio(hits: Tensor, counts: Tensor) -> Influence:
        """Those on `sum(hits) / sum(counts)`, (N,) both."""
        hits, counts = hits.double(), counts.double()
        share = hits.sum() / counts.sum()
        return Influence(((hits - share * counts) / counts.mean()).float())

    @property
    def variance(self) -> float:
        return spread(self.images, len(self.images)) + spread(self.reference, self.num_reference) + self.rest


@dataclass(frozen=True)
class Influences:
    """Of a report: by score. Two with the same `pairing` (not "") are of the same requests and seeds."""

    scores: Mapping[str, Influence]
    pairing: str = ""


def pairing_of(asked: Mapping[str, Any]) -> str:
    """The name of what was asked with which seeds."""
    return sha256_of(json.dumps(asked, sort_keys=True, default=str).encode())[:16]


def difference_variance(a: Influence, b: Influence, *, same_requests: bool) -> tuple[float, tuple[str, ...]]:
    """The variance of the difference of two estimates, and what they share: "images" of the `same_requests`
    and seeds, and the "reference", whose luck then falls out of the difference."""
    shared = ["images"] if same_requests and len(a.images) == len(b.images) > 0 else []
    shared += ["reference"] if len(a.reference) == len(b.reference) > 0 else []
    variance = a.rest + b.rest
    if "images" in shared:
        variance += spread(b.images - a.images, len(a.images))
    else:
        variance += sum(spread(one.images, len(one.images)) for one in (a, b))
    if "reference" in shared:
        variance += spread(b.reference - a.reference, a.num_reference)
    else:
        variance += sum(spread(one.reference, one.num_reference) for one in (a, b))
    return variance, tuple(shared)


def spread(values: Tensor, count: int) -> float:
    """Variance of a mean over `count` of values (N,) that scatter so; 0 of none."""
    return float(values.double().var()) / count if len(values) > 1 else 0.0


def save_influences(report: Path, influences: Influences) -> None:
    """Write them beside the `report`.

    Raises:
        StorageError: the disk is full or may not be written to.
    """
    tensors = {
        f"{name}/{part}": values.float().contiguous().clone()  # of one score may be those of another
        for name, one in influences.scores.items()
        for part, values in (("images", one.images), ("reference", one.reference))
    }
    rest = {name: [one.num_reference, one.rest] for name, one in influences.scores.items()}
    metadata = {"pairing": influences.pairing, "rest": json.dumps(rest)}
    atomic_write(report.with_suffix(SUFFIX), save(tensors, metadata))


def load_influences(report: Path) -> Influences | None:
    """Those beside the `report`; None where there are none.

    Raises:
        DataError: a damaged file.
    """
    path = report.with_suffix(SUFFIX)
    if not path.is_file():
        return None
    try:
        opened: Any = safe_open(path, "pt")
        with opened as file:
            told = file.metadata()
            scores = {
                name: Influence(
                    file.get_tensor(f"{name}/images"), file.get_tensor(f"{name}/reference"), count, rest
                )
                for name, (count, rest) in json.loads(told["rest"]).items()
            }
            return Influences(scores, told["pairing"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"'{path}' is damaged ({error}).", hint="Remove it; the scores are then compared without it."
        ) from error
