"""Parameters that a recipe leaves as they are: `training.freeze`."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from facegen.errors import UsageError

NEAREST = 3


def freeze(module: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Leave the parameters whose names match one of `patterns` untrained; returns their names.

    Patterns are those of file names: `denoiser.blocks.0.*`. Buffers, such as the statistics of batch norm,
    still follow the data.

    Raises:
        UsageError: a pattern matches nothing, or nothing is left to train.
    """
    if not patterns:
        return []
    parameters = dict(module.named_parameters())
    frozen = [name for name in parameters if any(fnmatchcase(name, one) for one in patterns)]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in parameters):
            nearest = get_close_matches(pattern, parameters, n=NEAREST, cutoff=0.0)
            raise UsageError(
                f"training.freeze: no parameter matches '{pattern}'.",
                hint=f"The nearest names: {', '.join(nearest)}. Patterns are as in 'denoiser.*'.",
            )
    if len(frozen) == len(parameters):
        raise UsageError(
            f"training.freeze: {', '.join(map(repr, patterns))} leaves nothing to train.",
            hint=f"All {len(parameters)} parameters match; freeze fewer of them.",
        )
    for name in frozen:
        parameters[name].requires_grad_(False)
    return frozen
