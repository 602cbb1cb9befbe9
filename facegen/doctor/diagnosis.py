"""What was found: facts by heading, and problems with their mends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from facegen.errors import FacegenError

Gravity = Literal["breaks", "hinders", "note"]
WORDS: dict[Gravity, str] = {"breaks": "Breaks", "hinders": "Hinders", "note": "To know"}


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
        order = list(WORDS)
        return Diagnosis(facts, tuple(sorted(problems, key=lambda one: order.index(one.gravity))))

    @property
    def refusal(self) -> FacegenError | None:
        """For the exit code, where something breaks."""
        count = sum(one.gravity == "breaks" for one in self.problems)
        if not count:
            return None
        return FacegenError(f"{count} of these problems keep{'s' * (count == 1)} facegen from working.")

    @property
    def lines(self) -> list[str]:
        """All of it as people read it, by nothing but Python."""
        told: list[str] = []
        for heading, facts in self.facts.items():
            width = max(map(len, facts), default=0)
            told += [heading] * bool(facts) + [f"  {name:{width}}  {value}" for name, value in facts.items()]
        told += ["", f"{len(self.problems) or 'No'} problem{'s' * (len(self.problems) != 1)}"]
        for number, one in enumerate(self.problems, start=1):
            told += [f"{number}. {WORDS[one.gravity]}: {one.told}", f"   Mend: {one.mend}"]
        return told

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"facts": self.facts, "problems": [asdict(one) for one in self.problems]}
