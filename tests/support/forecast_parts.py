"""Work whose cost is known; processes of their own can import it."""

from __future__ import annotations

import time
from pathlib import Path

from facegen.errors import UsageError

EACH_SECONDS, EACH_BYTES = 0.02, 100


def work(count: int, out: Path) -> None:
    out.mkdir()
    time.sleep(count * EACH_SECONDS)
    (out / "all").write_bytes(bytes(1000 + count * EACH_BYTES))


def refuses(count: int, out: Path) -> None:
    raise UsageError("The words mean nothing.", hint="Say others.")


def dies(count: int, out: Path) -> None:
    raise SystemExit(9)
