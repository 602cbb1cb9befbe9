"""What was found: facts by heading, and problems with their mends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from facegen.errors import FacegenError

Gravity = Literal["breaks", "hinders", "note"]


@dataclass(frozen=True)
class Problem:
    """What is wrong, what comes of it, and the exact command or setting that mends it.

    One that `breaks` keeps facegen from working, one that `hinders` costs speed or a part of it, a `note` is
    good to know.
    """

    name: str
    gravity: Gravity
    told: str
    mend: str


@dataclass(frozen=True)
class Diagnosis:
    """`facts` are values by name under each heading; the gravest of the `problems` come first."""

    facts: dict[str, dict[str, str]]
    problems: tuple[Problem, ...]

    @staticmethod
    def of(facts: dict[str, dict[str, str]], problems: Iterable[Problem]) -> Diagnosis:
        """The same with its problems in order."""
        order: tuple[Gravity, ...] = ("breaks", "hinders", "note")
        return Diagnosis(facts, tuple(sorted(problems, key=lambda one: order.index(one.gravity))))

    @property
    def refusal(self) -> FacegenError | None:
        """For the exit code, where something breaks."""
        count = sum(one.gravity == "breaks" for one in self.problems)
        if not count:
            return None
        return FacegenError(f"{count} of these problems keep{'s' * (count == 1)} facegen from working.")

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"facts": self.facts, "problems": [asdict(one) for one in self.problems]}
