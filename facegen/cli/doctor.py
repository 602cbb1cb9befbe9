"""`facegen doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.cli.command import command

if TYPE_CHECKING:
    from facegen.doctor.diagnosis import Diagnosis
    from facegen.protocols import Progress


def _print(diagnosis: Diagnosis) -> None:
    print(*diagnosis.lines, sep="\n")


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
