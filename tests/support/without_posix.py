"""What Windows lacks, taken away from this process: imported before facegen is, or as pytest's plugin.

pytest -p support.without_posix
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
NAMES = {os: ("pread", "sched_getaffinity"), signal: ("SIGUSR1", "SIGUSR2", "SIGXFSZ")}

modules: dict[str, Any] = sys.modules  # pyright: ignore[reportAssignmentType]
for module in MODULES:
    modules[module] = None
for owner, names in NAMES.items():
    for name in names:
        if hasattr(owner, name):
            delattr(owner, name)
