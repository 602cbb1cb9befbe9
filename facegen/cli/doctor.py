"""`facegen doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.command import command

if TYPE_CHECKING:
    from facegen.doctor.diagnosis import Diagnosis
    from facegen.protocols import Progress

GRAVITY = {"breaks": "Breaks", "hinders": "Hinders", "note": "To know"}


def _print(diagnosis: Diagnosis) -> None:
    from facegen.cli.results import print_facts

    for heading, facts in diagnosis.facts.items():
        if facts:
            print(heading)
            print_facts({f"  {name}": value for name, value in facts.items()})
    print(f"\n{len(diagnosis.problems) or 'No'} problem{'s' * (len(diagnosis.problems) != 1)}")
    for number, problem in enumerate(diagnosis.problems, start=1):
        print(f"{number}. {GRAVITY[problem.gravity]}: {problem.told}\n   Mend: {problem.mend}")


@command(_print, opens_models=False)
def doctor(progress: Progress) -> Diagnosis:
    """Look at this computer and what is installed, and tell how to mend what is wrong.

    Hardware, precisions as fast as they are here, versions and their conflicts, caches, disk, network, locale
    and terminal. Exit code 2 where something keeps facegen from working.

        facegen doctor
        facegen doctor --json
    """
    from facegen.doctor.examine import examine

    return examine(progress)
