"""Whether faces show people of the training set, also in pictures that are nobody's copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facegen.evaluation.held_out import TRAIN, HeldOut
from facegen.evaluation.options import MemorizationOptions
from facegen.evaluation.suspects import Pair
from facegen.formats.dataset import Dataset
from facegen.metrics.memorization import Config, CopyDetector, Recognised, most_photos
from facegen.models.copy_features import load_copy_features
from facegen.models.face_encoder import FACE_ENCODER, missing_packages
from facegen.models.feature_cache import Viewer
from facegen.models.real_features import RealImages, real_features
from facegen.protocols import Progress

AUTO, NOBODY = "auto", "none"
DRAWN_PEOPLE = ("avatars",)  # kinds of data sets with nobody on their pictures


@dataclass(frozen=True)
class PeopleFound:
    """The share of images of people in the training set, copies included, beside that of unseen people.

    `num_others` of them are no copies: other pictures of those people. `recognised` is how many photos of
    training people their own other photos tell, which is what the `judge` sees; None where no identities are
    known or nobody has two photos. `pairs` are the nearest that are no copies.
    """

    share: float
    low: float
    high: float
    num_flagged: int
    num_others: int
    num_samples: int
    threshold: float
    nominal_rate: float
    held_out: dict[str, Any]
    recognised: Recognised | None
    judge: str
    judge_fingerprint: str
    verdict: str
    pairs: tuple[Pair, ...]
    picture: Path | None = None


def judge_of_people(dataset: Dataset, asked: str) -> tuple[str | None, str]:
    """Whose features say who is one person, None for nobody's, and the reason in words."""
    if asked == NOBODY:
        return None, "Whether they show people of the training set was not looked at (--people none)."
    if asked != AUTO:
        return asked, ""
    if dataset.manifest.kind in DRAWN_PEOPLE:
        return None, "Nobody was looked for: there are no people on these pictures."
    if missing_packages():
        return None, (
            "Whether they show people of the training set was not looked at: no face encoder is installed "
            "(pip install 'facegen[people]'), and --people names no other features."
        )
    return FACE_ENCODER, ""


class PeopleJudge:
    """A detector of training people by the features of `name`, and what it sees of photos it knows.

    Raises:
        UsageError, MissingModelError, DataError: as `load_copy_features` and `CopyDetector`.
    """

    def __init__(
        self,
        name: str,
        dataset: Dataset,
        held_out: HeldOut,
        options: MemorizationOptions,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.extractor = load_copy_features(name, None, device, progress)
        size = dataset.manifest.image_size
        viewer = Viewer.of(self.extractor, size, options.batch_size, progress)
        train = real_features(RealImages(dataset, TRAIN), viewer)
        parts = [
            real_features(RealImages(dataset, split), viewer)[rows] for split, rows in held_out.rows.items()
        ]
        self.detector = CopyDetector(
            Config(
                nominal_rate=options.nominal_rate,
                seed=options.selection.seed,
                skipped=most_photos(held_out.train_people) - 1,
            ),
            features=self.extractor,
            train=train,
            mirrored=train,  # who is on a picture does not depend on its side
            held_out=torch.cat(parts),
            people=held_out.people,
        )
        self._sees = self.detector.recognised(held_out.train_people)

    def found(self, num_others: int, pairs: tuple[Pair, ...]) -> PeopleFound:
        """What came of it."""
        result = self.detector.compute()
        return PeopleFound(
            **result,
            num_others=num_others,
            recognised=self._sees,
            judge=self.extractor.name,
            judge_fingerprint=self.extractor.fingerprint,
            verdict=self._verdict(result, num_others),
            pairs=pairs,
        )

    def _verdict(self, result: dict[str, Any], num_others: int) -> str:
        seen, unseen = result["share"], result["held_out"]["share"]
        told = f"{100 * seen:.1f} % look like a person of the training set ({num_others:,} of them no copies)"
        if result["low"] > max(result["nominal_rate"], unseen):
            told += f", as {100 * unseen:.1f} % of unseen people do: look at the pairs."
        else:
            told += f", {100 * unseen:.1f} % of unseen people: no sign of training people."
        if self._sees is None:
            return f"{told} What {self.extractor.name} sees is unknown here: nobody is named twice."
        share = 100 * self._sees["share"]
        return f"{told} {self.extractor.name} tells {share:.0f} % of training people by another photo."
