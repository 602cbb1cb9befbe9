"""Options of `facegen push` and `facegen pull`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from facegen.options import Option


@dataclass(frozen=True)
class PushOptions:
    """What is sent, and who may see it."""

    private: Annotated[bool, Option("For you alone, or your organisation.")] = False
    weights: Annotated[Literal["ema", "model"], Option("ema: averaged; model: as last trained.")] = "ema"
    licence: Annotated[str | None, Option("Terms of the data, where they do not tell: cc-by-4.0, ...")] = None
    dry_run: Annotated[
        bool, Option("Tell what would be sent, and write the card to read; needs no token and no network.")
    ] = False


@dataclass(frozen=True)
class PullOptions:
    """Which state of the repository is fetched."""

    revision: Annotated[str | None, Option("A branch, tag or commit; left out, the newest.")] = None
