"""What a verification finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from facegen.errors import FacegenError, StorageError
from facegen.formats.files import sha256_of
from facegen.formats.plain import plain

State = Literal["whole", "damaged", "not together", "left over", "mended"]
WRONG: tuple[State, ...] = ("damaged", "not together")


@dataclass(frozen=True)
class Finding:
    """One thing and its state; `mend` says what to do about it."""

    thing: str
    state: State
    about: str = ""
    mend: str | None = None


@dataclass(frozen=True)
class Verification:
    """Everything that was looked at in `subject`, which is a `kind`."""

    subject: str
    kind: str
    findings: tuple[Finding, ...]

    @property
    def is_whole(self) -> bool:
        return not any(one.state in WRONG for one in self.findings)

    @property
    def refusal(self) -> StorageError | None:
        """What the command ends with, told after the findings; None if all is well."""
        wrong = [one for one in self.findings if one.state in WRONG]
        if not wrong:
            return None
        mends = dict.fromkeys(one.mend for one in wrong if one.mend)
        return StorageError(
            f"{len(wrong)} of {len(self.findings)} things in '{self.subject}' are not as they should be.",
            hint="\n".join(mends) or None,
        )

    def to_json(self) -> dict[str, Any]:
        return {**plain(self), "is_whole": self.is_whole}


def found(thing: str, check: Callable[[], Any], mend: str | None = None) -> Finding:
    """Whole, or damaged with what `check` raises."""
    try:
        check()
    except (FacegenError, OSError, ValueError) as error:
        hint = getattr(error, "hint", None)
        told = error.args[0] if isinstance(error, FacegenError) else error
        return Finding(thing, "damaged", str(told), mend or hint)
    return Finding(thing, "whole")


def check_sum(path: Path, digest: str) -> None:
    """Compare a file with its recorded sha256.

    Raises:
        StorageError: it is missing or altered.
    """
    if not path.is_file():
        raise StorageError(f"'{path}' is missing.")
    if sha256_of(path) != digest:
        raise StorageError(f"'{path}' is corrupt: its checksum does not match.")


def matched(thing: str, here: str | None, there: str | None, about: str, mend: str | None = None) -> Finding:
    """Whether two fingerprints are equal."""
    if here == there:
        return Finding(thing, "whole", about)
    return Finding(thing, "not together", f"{about}: {str(here)[:12]} here, {str(there)[:12]} there", mend)
