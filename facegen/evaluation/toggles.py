"""What a run can be asked for one by one, attributes with yes and no or one class of several, and pairs of
requests that differ in one of them, first without it and then with it.

Letters: R rows of labels, P pairs, A attributes. Requests hold +1 yes, -1 no, 0 left open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from facegen.errors import DataError, UsageError
from facegen.models.classifier import FaceClassifier
from facegen.models.generator import FaceGenerator
from facegen.vocabulary.conflicts import hiders_of, implied_by, rivals_of

if TYPE_CHECKING:
    import pandas as pd

YES, OPEN, NO = 1, 0, -1


@dataclass(frozen=True)
class Toggle:
    """Requests `off` and `on` (P, A) int8 over `names`, the same but for `name` and what it rules out."""

    name: str
    names: tuple[str, ...]
    off: Tensor
    on: Tensor

    @property
    def gave_way(self) -> dict[str, int]:
        """In how many pairs each other attribute is not asked the same, as `name` rules it out or in."""
        counts = (self.off != self.on).sum(0).tolist()
        return {
            other: count
            for other, count in zip(self.names, counts, strict=True)
            if count and other != self.name
        }


def toggle_requests(base: Tensor, names: Sequence[str], name: str, num_pairs: int) -> Toggle:
    """Pairs for toggling `name` over the label rows `base` (R, A) of +1, 0, -1, in their order.

    Pair i starts from row i, or where that person has `name`, from the next one without it, so that "off" is
    what is known of somebody real; for hair, people with hats or bald heads are passed over likewise. "on"
    adds `name`. What cannot be there beside it (the other hair colours beside one, hair beneath a hat) is
    then asked for with no, and what goes with it (a beard's mustache) with yes.

    With no such row, or all requests open, every row is taken, with `name` asked away.
    """
    names, index = tuple(names), {name: i for i, name in enumerate(names)}
    off = base[_rows_without(base, index, name, num_pairs)].clone().to(torch.int8)
    off[:, index[name]] = NO
    for other in names:
        if name in implied_by(other):
            _replace(off, index[other], YES, NO)
    on = off.clone()
    on[:, index[name]] = YES
    for other in rivals_of(name) & index.keys():
        _replace(on, index[other], YES, NO)
    for other in implied_by(name):
        if other in index:
            _replace(on, index[other], NO, YES)
    return Toggle(name, names, off, on)


def class_toggle(base: Tensor, names: Sequence[str], name: str, num_pairs: int) -> Toggle:
    """Pairs that ask for another class of `base` (R, K), or for none, and then for `name`.

    Pair i starts from row i, or where that is of class `name`, from the next one that is not. Third classes
    are asked the same off and on, the class given up is not; nor is any where the base asks for none.
    """
    names, column = tuple(names), tuple(names).index(name)
    off = base[_rows_without(base, {name: column}, name, num_pairs)].clone().to(torch.int8)
    off[off[:, column] == YES] = OPEN
    on = torch.full_like(off, NO)
    on[:, column] = YES
    return Toggle(name, names, off, on)


def _rows_without(base: Tensor, index: dict[str, int], name: str, num_pairs: int) -> Tensor:
    """Row numbers (P,): i modulo R, or the next row in which `name` is absent and could be seen."""
    away = [index[other] for other in (name, *hiders_of(name)) if other in index]
    fits = (base[:, away] != YES).all(1)
    if not fits.any():
        fits = torch.ones(len(base), dtype=torch.bool)
    chosen = fits.nonzero().flatten()
    wanted = torch.arange(num_pairs) % len(base)
    return chosen[torch.searchsorted(chosen, wanted) % len(chosen)]


def _replace(requests: Tensor, column: int, old: int, new: int) -> None:
    values = requests[:, column]
    values[values == old] = new


@dataclass(frozen=True)
class Askable:
    """What `eval control` may toggle in the requests of a run, and how a classifier answers about it.

    Requests hold +1, -1 or 0 for each of `names` (one +1 where they are classes). `known` are the names that
    the classifier answers about, its columns in the order of `answer`, uint8 (B, 3, H, W) -> bool (B, C).
    """

    names: tuple[str, ...]
    known: tuple[str, ...]
    answer: Callable[[Tensor], Tensor]
    class_column: str | None = None  # None: attributes

    def requests(self, frame: pd.DataFrame) -> Tensor:
        """The labels of records as requests (N, A) int8; unknown ones are left open.

        Raises:
            DataError: a column that requests are made of is missing.
        """
        import pandas as pd

        columns = [self.class_column] if self.class_column else list(self.names)
        missing = [name for name in columns if name not in frame.columns]
        if missing:
            raise DataError(
                f"The records have no column {', '.join(missing)}, which this run is asked with.",
                hint="Name the data of the run with --data, or leave the rest of each request open: "
                "--base open",
            )
        if self.class_column is None:
            signed = (2 * frame[columns].astype("Int8") - 1).fillna(0).to_numpy(dtype="int8")
            return torch.from_numpy(signed.copy())
        one_hot = pd.get_dummies(frame[self.class_column]).reindex(columns=list(self.names), fill_value=False)
        asked = one_hot.to_numpy("int8")
        return torch.from_numpy((2 * asked - 1) * asked.any(1, keepdims=True))

    def frame(self, requests: Tensor) -> pd.DataFrame:
        """Requests (N, A) as the labels a conditioner takes."""
        import pandas as pd

        if self.class_column is None:
            values = pd.DataFrame(requests.numpy(), columns=list(self.names)).astype("Int8")
            return (values + 1).floordiv(2).mask(values == 0)
        found = [self.names[int(row.argmax())] if int(row.max()) == YES else None for row in requests]
        return pd.DataFrame({self.class_column: pd.array(found, dtype="string")})


def askable(generator: FaceGenerator, judge: FaceClassifier, run: Path) -> Askable:
    """The attributes, or the classes, that `run` can be asked for and `judge` answers about.

    Raises:
        UsageError: a run that is asked neither by attributes nor by a class, or a judge of something else.
        DataError: nothing that both know.
    """
    if names := generator.attributes:
        if judge.classes:
            raise UsageError(
                f"The classifier tells '{judge.class_column}', and this run is asked for attributes.",
                hint="Train one of attributes: facegen train --preset attribute-classifier --data DATASET",
            )
        found = _attributes(names, judge)
    elif column := generator.class_column:
        found = _classes(generator, judge, column)
    else:
        raise UsageError(
            f"'{run}' was trained on {generator.trained_on}, and only attributes or classes can be "
            "toggled one by one.",
            hint="Give a run with conditioner.kind=attributes or class_label, such as one of --preset "
            "celeba-attributes.",
        )
    if not set(found.names) & set(found.known):
        raise DataError(
            "The classifier knows nothing that this run can be asked for.",
            hint=f"The run: {', '.join(found.names)}. The classifier: {', '.join(found.known) or 'none'}.",
        )
    return found


def _attributes(names: tuple[str, ...], judge: FaceClassifier) -> Askable:
    return Askable(names, judge.attributes, lambda images: judge.logits(images) > 0)


def _classes(generator: FaceGenerator, judge: FaceClassifier, column: str) -> Askable:
    """The classes of `column`, judged by a classifier of them; those of an attribute are toggled as such."""
    conditioner: Any = generator.conditioner
    if conditioner.is_attribute and column in judge.attributes:
        return _attributes((column,), judge)
    if judge.class_column == column:

        def likeliest(images: Tensor) -> Tensor:
            logits = judge.logits(images)
            return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1]).bool()

        return Askable(conditioner.classes, judge.classes, likeliest, column)
    told = f"the class '{judge.class_column}'" if judge.class_column else "attributes"
    raise UsageError(
        f"This run is asked for the class '{column}', and the classifier tells {told}.",
        hint="Train one that tells it: facegen train --preset attribute-classifier --set "
        f"task.class_column={column} --data DATASET --run CLASSIFIER",
    )
