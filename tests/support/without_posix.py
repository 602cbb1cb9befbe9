"""What Windows lacks, taken away from this process: imported before facegen is.

FACEGEN_TEST_WITHOUT_POSIX=1 pytest    hides it from every test
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any

MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
NAMES = {os: ("pread", "sched_getaffinity"), signal: ("SIGUSR1", "SIGUSR2", "SIGXFSZ")}

with suppress(ImportError):
    import psutil  # noqa: F401  # its part for Linux imports `resource`, its part for Windows does not

modules: dict[str, Any] = sys.modules  # pyright: ignore[reportAssignmentType]
for module in MODULES:
    modules[module] = None
for owner, names in NAMES.items():
    for name in names:
        if hasattr(owner, name):
            delattr(owner, name)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on Windows it has a lock of the system's, here only one of its own
    import filelock  # noqa: F401
