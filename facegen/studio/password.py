"""Whether the studio asks for a password, and for which."""

from __future__ import annotations

import os
import secrets
from ipaddress import ip_address
from pathlib import Path

from facegen.errors import UsageError

VARIABLE = "FACEGEN_STUDIO_PASSWORD"
MIN_CHARACTERS = 8


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is reached from this computer alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def password_for(host: str, file: Path | None) -> tuple[str | None, bool]:
    """The password that the studio asks for, and whether it was made up here.

    That in `file`, or else in FACEGEN_STUDIO_PASSWORD, which the processes started from here do not see; a
    random one where others than this computer could reach the studio; otherwise none.

    Raises:
        UsageError: the file cannot be read, or the password is too short.
    """
    given = os.environ.pop(VARIABLE, None)
    if file is not None:
        try:
            given = file.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(f"The password file '{file}' cannot be read: {why}.") from error
    if given is None:
        return (None, False) if is_loopback(host) else (secrets.token_urlsafe(12), True)
    if len(given) < MIN_CHARACTERS:
        where = f"in '{file}'" if file else f"in {VARIABLE}"
        raise UsageError(
            f"The password {where} has {len(given)} characters, and {MIN_CHARACTERS} are the least.",
            hint="Leave it out to have a random one made up and told.",
        )
    return given, False
