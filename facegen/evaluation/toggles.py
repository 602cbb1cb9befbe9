"""Pairs of requests that differ in one attribute, first without it and then with it.

Letters: R rows of labels, P pairs, A attributes. Requests hold +1 yes, -1 no, 0 left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.vocabulary.conflicts import hiders_of, implied_by, rivals_of

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
