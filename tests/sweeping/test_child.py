"""What is told of a run that failed."""

from __future__ import annotations

from pathlib import Path

from facegen.sweeping.child import told_failure

PLACE, LOG = Path("/home/me/tries"), Path("/home/me/tries/logs/lr=1.txt")


def test_a_failure_is_told_in_a_line_without_the_place_of_the_sweep() -> None:
    said = "Training ...\nError: It diverged.\nSee: facegen replay /home/me/tries/lr=1/capsules/step-3\n"
    told = told_failure(6, said, PLACE, LOG)
    assert told == "It diverged. See: facegen replay lr=1/capsules/step-3"


def test_a_killed_run_and_a_bug_are_told_apart() -> None:
    assert told_failure(-9, "Training ...", PLACE, LOG) == "killed by SIGKILL, perhaps for want of memory"
    bug = "Traceback\nValueError: x\n\nThis is a bug in facegen"
    assert told_failure(1, bug, PLACE, LOG) == "ended with exit code 1; its words are in 'logs/lr=1.txt'"
