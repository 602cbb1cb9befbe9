"""What will be done with a source, and how long each stage will take: decided before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facegen.errors import DataError, UsageError
from facegen.formats.plain import plain
from facegen.making.probe import Preparation, Rates
from facegen.making.ways import Asked, Way

STAGES = ("faces", "autoencoder", "latents", "classifier", "generator", "pictures", "scores")
FEWEST_FACES = 50
SHARES = {"autoencoder": 0.18, "classifier": 0.14}  # of what training may take together
SCORING_SHARE = 0.08  # of all, for drawing the faces that are judged
FEWEST_SCORED = 64
LEAST_GENERATOR_SHARE = 0.25  # of all; below, the time is too short for the source
MOST_EPOCHS = 400  # of the generator: after so many it only learns its faces by heart
OVERHEAD_SECONDS = 6.0  # of a stage that draws or judges: loading, features of real faces, writing
PICTURED = 64
LOOKS = 5  # at as many faces as are scored: drawn, real and reconstructed ones, some of them twice


@dataclass(frozen=True)
class Plan:
    """Seconds by stage, and what they are spent on. `command` is what was asked for; `num_faces` an estimate
    until they are prepared."""

    command: dict[str, Any]
    kind: str
    why: str
    way: Way
    asked: Asked
    num_faces: int
    num_scored: int
    seconds: dict[str, float]
    steps: dict[str, int]
    threads: dict[str, int]
    compiled: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return plain(self)

    def about(self, stage: str) -> str:
        """What a stage does, in a few words."""
        how = dict.fromkeys(self.compiled, ", compiled")
        steps = {name: f"{count:,} steps{how.get(name, '')}" for name, count in self.steps.items()}
        pixels, asked = self.way.pixels, self.asked.told
        asks = "" if self.asked.by == "nothing" else f", asked with {asked}"
        return {
            "faces": f"about {self.num_faces:,} of {pixels}x{pixels} pixels",
            "autoencoder": f"{steps.get('autoencoder')}, to squeeze a face into few numbers",
            "latents": "every face squeezed once",
            "classifier": f"{steps.get('classifier')}, to tell {asked}, for judging",
            "generator": f"{steps.get('generator')}, to draw faces{asks}",
            "pictures": "the first faces",
            "scores": f"{self.num_scored} faces judged, and copies of training faces looked for",
        }[stage]

    def lines(self) -> list[str]:
        """The plan for people, a line a stage."""
        width = max(map(len, self.seconds))
        return [
            f"  {name:<{width}}  {seconds / 60:5.1f} min  {self.about(name)}"
            for name, seconds in self.seconds.items()
        ]


def check_enough(num_faces: int) -> None:
    """Refuse too few faces to train and to judge on.

    Raises:
        DataError: says how many it takes.
    """
    if num_faces < FEWEST_FACES:
        raise DataError(
            f"{num_faces} faces are too few to train and to judge on; it takes {FEWEST_FACES}.",
            hint="Add pictures: a generator of few faces learns them by heart.",
        )


def make_plan(
    preparation: Preparation, rates: Rates, *, seconds_left: float, num_scored: int, smoke: bool, **facts: Any
) -> Plan:
    """Share the time that is left among the stages; `facts` are the other fields of the plan.

    Raises:
        UsageError: too little time; says how much it takes.
    """
    faces, trained, way = preparation.num_faces, rates.trained, facts["way"]
    affordable = round(SCORING_SHARE * seconds_left * rates.drawn)
    num_scored = max(min(num_scored, affordable), min(FEWEST_SCORED, num_scored))
    drawings = 2 if preparation.asked.by == "classes" else 1  # classes are judged in pairs of their own
    seconds = {
        "faces": preparation.seconds,
        "latents": OVERHEAD_SECONDS / 2 + faces / rates.encoded,
        "pictures": OVERHEAD_SECONDS / 2 + PICTURED / rates.drawn,
        "scores": 2 * OVERHEAD_SECONDS
        + drawings * num_scored / rates.drawn
        + (faces + LOOKS * num_scored) / rates.judged,
    }
    left = seconds_left - sum(seconds.values())
    for name, share in SHARES.items():
        if name in trained:
            longest = trained[name].seconds(trained[name].preset_steps)
            seconds[name] = longest if way.preset_lengths else min(max(share * left, 0.0), longest)
    others, generator = sum(seconds.values()), trained["generator"]
    given = seconds_left - others
    if given < LEAST_GENERATOR_SHARE * seconds_left and not smoke:
        needed = others / (1 - LEAST_GENERATOR_SHARE) / 60
        raise UsageError(
            f"The time is too short: all but the generator's training takes {others / 60:.1f} minutes here.",
            hint=f"Give it --minutes {needed + 2:.0f} or more.",
        )
    most = generator.seconds(MOST_EPOCHS * faces / generator.batch_size)
    seconds["generator"] = max(min(given, most), generator.seconds(1))
    return Plan(
        asked=preparation.asked,
        num_faces=faces,
        num_scored=num_scored,
        seconds={name: round(seconds[name], 1) for name in STAGES if name in seconds},
        steps={name: max(1, one.steps(seconds[name])) for name, one in trained.items()},
        threads={name: one.speed.threads for name, one in trained.items()},
        compiled=tuple(name for name, one in trained.items() if one.speed.compiled),
        **facts,
    )
