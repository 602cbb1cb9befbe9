"""Which real faces are of people a generator was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from facegen.errors import DataError
from facegen.formats.dataset import SPLITS, Dataset

TRAIN = SPLITS[0]
UNKNOWN = -1  # who is on a picture, where the data do not say


@dataclass(frozen=True)
class HeldOut:
    """Pictures outside the training split: `rows` of each split that are of unseen people, as far as known.

    `people` (M,) says who is who of these, in the order of the splits, and is None where the data name no
    identities: then what is unseen are pictures, not people. `train_people` (N,) are those of the training
    split, `UNKNOWN` where not named. `note` says in words what was held out by what.
    """

    rows: dict[str, Tensor]
    people: Tensor | None
    train_people: Tensor
    note: str

    @property
    def by(self) -> str:
        """ "identity" or "image"."""
        return "image" if self.people is None else "identity"


def held_out_people(dataset: Dataset) -> HeldOut:
    """The pictures of the other splits whose people are not in the training split.

    Where the data name identities, pictures of people who are in the training split are set aside, and so are
    those without an identity.

    Raises:
        DataError: no other split, or nobody in it who is not in the training split.
    """
    names = [name for name in dataset.splits if name != TRAIN]
    if not names:
        raise DataError(
            f"'{dataset.folder}' has no {' or '.join(SPLITS[1:])} split: without unseen real faces nobody "
            "knows how near to a training image is suspicious.",
            hint="Prepare it with --splits 0.8,0.1,0.1.",
        )
    frames = [dataset.split(name).frame["identity"] for name in names]
    trained = dataset.split(TRAIN).frame["identity"]
    codes, _ = pd.factorize(pd.concat([trained, *frames], ignore_index=True))  # missing ones are -1
    who = torch.from_numpy(codes.astype("int64"))
    train, *others = who.split([len(trained), *map(len, frames)])
    every = dict(zip(names, others, strict=True))
    if not any(len(part) and int(part.max()) > UNKNOWN for part in others):
        note = "The data name no identities: unseen are pictures, which may show people of the training set."
        rows = {name: torch.arange(len(part)) for name, part in every.items()}
        return HeldOut(rows, None, train, note)
    kept = {name: (part > UNKNOWN) & ~torch.isin(part, train) for name, part in every.items()}
    rows = {name: mask.nonzero()[:, 0] for name, mask in kept.items()}
    people = torch.cat([every[name][rows[name]] for name in names])
    if not len(people):
        raise DataError(
            f"Everybody in '{dataset.folder}' is in its training split: there are no unseen people.",
            hint="Prepare it again with --splits 0.8,0.1,0.1, which cuts by person.",
        )
    return HeldOut(rows, people, train, _told(people, train, torch.cat(others)))


def _told(people: Tensor, train: Tensor, others: Tensor) -> str:
    told = (
        f"Unseen: {len(people):,} faces of {len(people.unique()):,} people who are not in the training set."
    )
    aside = {
        "of people who are": int(torch.isin(others, train[train > UNKNOWN]).sum()),
        "of nobody knows whom": int((others == UNKNOWN).sum()),
    }
    if any(aside.values()):
        parts = " and ".join(f"{count:,} {whose}" for whose, count in aside.items() if count)
        told += f" Set aside: {parts}."
    unnamed = int((train == UNKNOWN).sum())
    return told + (f" {unnamed:,} training images name nobody." if unnamed else "")
