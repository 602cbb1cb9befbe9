"""Repositories on the hub: their names, and what its refusals mean in plain words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

from facegen.errors import DataError, FacegenError, MissingModelError, StorageError, UsageError
from facegen.formats.hub_files import RepoType
from facegen.formats.model_folders import is_hub_name

TOKENS = "https://huggingface.co/settings/tokens"
LOG_IN = f"Log in: hf auth login; or set HF_TOKEN. Tokens: {TOKENS}"
REPEAT = "Repeat the command when it answers: it goes on with what has come."
WORDS: dict[RepoType, str] = {"model": "model", "dataset": "data set"}


def checked_name(name: str) -> str:
    """The name itself.

    Raises:
        UsageError: the hub has no names like that.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        reason = None if is_hub_name(name) else "an owner and a name with one '/' between them"
    except HFValidationError as error:
        reason = str(error).replace("Repo id must", "it must").rstrip(".")
    if reason is not None:
        raise UsageError(
            f"'{name}' is no name on the hub: {reason}.", hint="Names there are OWNER/NAME: me/avatars"
        )
    return name


def check_online() -> None:
    """See that the hub may be asked.

    Raises:
        MissingModelError: HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise MissingModelError(
            "The hub cannot be asked: HF_HUB_OFFLINE is set.", hint="unset HF_HUB_OFFLINE"
        )


def check_token() -> None:
    """See that there is a token.

    Raises:
        MissingModelError: there is none.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise MissingModelError("The hub takes nothing without a token, and there is none here.", hint=LOG_IN)


@contextmanager
def asking(repository: str, to: Literal["push", "pull"]) -> Generator[None]:
    """Say in plain words what the hub refuses, or that it does not answer.

    Raises:
        MissingModelError: no access, no such repository, no answer.
        UsageError, DataError: it does not take what is sent.
        StorageError: a file changed while it was sent.
    """
    try:
        yield
    except FacegenError:
        raise
    except FileNotFoundError as error:
        raise StorageError(
            f"'{error.filename}' went away while '{repository}' was pushed.", hint="Repeat the command."
        ) from error
    except Exception as error:  # the hub client raises its own, the HTTP library's and the system's errors
        raise _refusal(error, repository, to) from error


def _refusal(error: Exception, repository: str, to: Literal["push", "pull"]) -> FacegenError:
    from huggingface_hub.errors import RevisionNotFoundError

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # as the hub client wraps what goes wrong in its threads
    status: Any = getattr(getattr(error, "response", None), "status_code", None)
    told = str(getattr(error, "server_message", None) or error).strip().splitlines()
    reason = told[-1].strip() if told else type(error).__name__
    if isinstance(error, RevisionNotFoundError):
        return MissingModelError(f"'{repository}' has no such revision.", hint="Leave out --revision.")
    if status == 404 or (status == 401 and to == "pull"):
        return MissingModelError(
            f"There is no '{repository}' on the hub, or you may not see it.",
            hint=f"Names are in upper and lower case as they are there. Is it private? {LOG_IN}",
        )
    if status == 401:
        return MissingModelError("The hub does not take your token: it is not known there.", hint=LOG_IN)
    if status == 403:
        what = "You may not write to" if to == "push" else "You may not read"
        return MissingModelError(
            f"{what} '{repository}' (403): it belongs to somebody else, or your token does not allow it.",
            hint=f"Take an owner that you are (hf auth whoami), and a token that allows it: {TOKENS}",
        )
    if isinstance(error, ValueError) and status is None and to == "push":
        return DataError(f"The hub does not take what was sent to '{repository}': {reason}")
    if status is not None and status < 500 and status not in (408, 429):
        return DataError(
            f"The hub refuses '{repository}' ({status}): {reason}", hint="Nothing became visible."
        )
    kind = type(error)
    silent = isinstance(error, OSError) or kind.__module__.startswith(("http", "requests"))
    answered = f"{'did not answer' if silent else 'gave no answer that can be read'} ({kind.__name__})"
    answered = f"answered with status {status}" if status else answered
    return MissingModelError(f"The hub {answered} about '{repository}'.", hint=REPEAT)
