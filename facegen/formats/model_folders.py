"""Folders of published models in Hugging Face's layout: local ones, the hub's cache, or the hub.

Weights are read from safetensors only and no code of a model's folder is ever run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facegen.errors import DataError, FacegenError, MissingModelError

FILES_NEEDED = ["*.json", "*.txt", "*.model", "*.safetensors"]
FILES_NOT_NEEDED = ["onnx/*", "openvino/*"]
ETAG_TIMEOUT_SECONDS = 5


def model_folder(name_or_folder: str, what: str, without_network: str) -> Path:
    """The local folder of a `what`, or the hub's snapshot of it: cached, else fetched.

    Raises:
        MissingModelError: neither; says how to fetch it, and with `without_network` what to do offline.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name_or_folder.startswith((".", "~")) or name_or_folder.count("/") > 1:
        raise MissingModelError(
            f"There is no folder '{name_or_folder}'.",
            hint=f"Give an existing folder with a {what}, or a hub name such as "
            f"openai/clip-vit-base-patch32.\n{without_network}",
        )
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(
            name_or_folder,
            allow_patterns=FILES_NEEDED,
            ignore_patterns=FILES_NOT_NEEDED,
            etag_timeout=ETAG_TIMEOUT_SECONDS,
        )
    except FacegenError:  # a signal's
        raise
    except Exception as error:  # the hub client raises its own, the HTTP library's and the system's errors
        raise MissingModelError(
            f"The {what} '{name_or_folder}' is not on this machine and could not be fetched "
            f"({type(error).__name__}).",
            hint=f"With a network: hf download {name_or_folder}\n{without_network}",
        ) from error
    return Path(path)


def pretrained_loader(name_or_folder: str, folder: Path, what: str, needed: str) -> Callable[..., Any]:
    """Calls a `from_pretrained` of transformers on `folder`, offline and without code of the model's own.

    What it returns raises DataError, naming what is `needed`, for whatever is wrong with the folder.
    """

    def load(from_pretrained: Callable[..., Any], **options: Any) -> Any:
        try:
            with _without_bars():
                return from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
        except FacegenError:  # a signal's
            raise
        except Exception as error:  # a folder can be wrong in as many ways as its libraries have exceptions
            raise DataError(
                f"'{name_or_folder}' cannot be loaded as {what}: {error}",
                hint=f"Needed are {needed} of a model that transformers knows without code of its own.",
            ) from error

    return load


@contextmanager
def _without_bars() -> Iterator[None]:
    """transformers would draw bars of its own on stderr, whoever listens."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
