"""The `facegen` command; `python -m facegen` is it, too.

What the command line itself stands on may be what cannot be imported. That is told as any such failure is,
and `facegen doctor` works without it.
"""

from __future__ import annotations

import json
import sys

from facegen.errors import MissingModelError
from facegen.failed_imports import failed_import


def main() -> None:
    """Entry point of the `facegen` command."""
    try:
        from facegen.cli.app import main as command_line

        command_line()
    except Exception as error:
        if (told := failed_import(error)) is None:
            raise
        if sys.argv[1:2] == ["doctor"]:
            sys.exit(_doctor(as_json="--json" in sys.argv))
        print(f"Error: {told}", file=sys.stderr)
        sys.exit(MissingModelError.exit_code)


def _doctor(*, as_json: bool) -> int:
    """What `facegen doctor` prints, by nothing but Python; returns the exit code."""
    from facegen.cli.console import make_progress
    from facegen.doctor.examine import examine

    diagnosis = examine(make_progress(quiet=True))
    print(json.dumps(diagnosis.to_json(), indent=2) if as_json else "\n".join(diagnosis.lines))
    if diagnosis.refusal is None:
        return 0
    print(f"Error: {diagnosis.refusal}", file=sys.stderr)
    return diagnosis.refusal.exit_code


if __name__ == "__main__":
    main()
