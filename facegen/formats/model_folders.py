"""Folders of published models in Hugging Face's layout: local ones, the hub's cache, or the hub.

Weights are read from safetensors only and no code of a model's folder is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from facegen.compat import guard_torchvision
from facegen.errors import DataError, FacegenError, MissingModelError
from facegen.formats.files import sha256_of

FILES_NEEDED = ["*.json", "*.txt", "*.model", "*.safetensors"]
FILES_NOT_NEEDED = ["onnx/*", "openvino/*"]
TIMEOUT_SECONDS = 5
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
LFS_POINTER = b"version https://git-lfs"
POSITIONS = "position_ids"  # not weights, and absent from many checkpoints


def is_hub_name(text: str) -> bool:
    """Whether `text` can be the name of a model on the hub: "owner/name"."""
    return HUB_NAME.fullmatch(text) is not None


def hub_file(name: str, choices: Sequence[Sequence[str]], what: str, without_network: str) -> Path:
    """Local path of the first file of the first group of files that the hub's model `name` has whole.

    What is cached is taken without asking the network. HF_HUB_OFFLINE=1 is honoured.

    Raises:
        MissingModelError: neither cached nor to be had; says how to fetch it, and what to do offline.
    """
    from huggingface_hub import constants, hf_hub_download  # pyright: ignore[reportUnknownVariableType]
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    from huggingface_hub.utils import get_session

    def found(files: Sequence[str], **options: Any) -> Path:
        paths: list[str] = [hf_hub_download(name, file, **options) for file in files]
        return Path(paths[0])

    wanted = [name, *(choices[0] if len(choices) == 1 else ())]
    with _fetching(what, " ".join(wanted), without_network):
        for files in choices:
            with suppress(LocalEntryNotFoundError):
                return found(files, local_files_only=True)
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT_SECONDS)  # else it retries for long
        for files in choices[:-1]:
            with suppress(EntryNotFoundError):
                return found(files, etag_timeout=TIMEOUT_SECONDS)
        return found(choices[-1], etag_timeout=TIMEOUT_SECONDS)


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
    from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]

    with _fetching(what, name_or_folder, without_network):
        path = snapshot_download(
            name_or_folder,
            allow_patterns=FILES_NEEDED,
            ignore_patterns=FILES_NOT_NEEDED,
            etag_timeout=TIMEOUT_SECONDS,
        )
    return Path(path)


def refuse_pointer(file: Path) -> None:
    """See to it that a file of weights is no pointer of Git LFS.

    Raises:
        DataError: it is one.
    """
    with suppress(OSError), open(file, "rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            raise DataError(
                f"'{file}' is a pointer of Git LFS: the weights themselves are not there.",
                hint="Fetch them in that repository: git lfs pull",
            )


class PretrainedFolder:
    """A `what` in transformers' layout, read offline and without code of the model's own.

    Raises:
        MissingModelError: not there and not to be had; says how to fetch it.
        DataError: of every method, naming what is `needed`, for whatever is wrong with the folder.
    """

    library = "transformers"
    settings: Mapping[str, bool] = {"trust_remote_code": False}

    def __init__(self, name_or_folder: str, what: str, needed: str, without_network: str) -> None:
        self.name, self.what, self.needed = name_or_folder, what, needed
        self.folder = model_folder(name_or_folder, what, without_network)
        guard_torchvision()

    def load(self, from_pretrained: Callable[..., Any], **options: Any) -> Any:
        """What a `from_pretrained` of transformers makes of the folder."""
        for file in self.folder.glob("*.safetensors"):
            refuse_pointer(file)
        try:
            with without_bars():
                return from_pretrained(self.folder, local_files_only=True, **self.settings, **options)
        except FacegenError:  # a signal's
            raise
        except Exception as error:  # a folder can be wrong in as many ways as its libraries have exceptions
            raise DataError(
                f"'{self.name}' cannot be loaded as {self.what}: {error}",
                hint=f"Needed are {self.needed} of a model that {self.library} knows without "
                "code of its own.",
            ) from error

    def network(
        self, from_pretrained: Callable[..., Any], optional: Sequence[str] = (), **options: Any
    ) -> Any:
        """The frozen network with all its weights, but for those with an `optional` part in their names."""
        model, report = self.load(from_pretrained, use_safetensors=True, output_loading_info=True, **options)
        optional = (POSITIONS, *optional)
        missing = [key for key in report["missing_keys"] if not any(part in key for part in optional)]
        if missing:
            raise DataError(
                f"'{self.name}' lacks {len(missing)} weights of its {self.what}, '{missing[0]}' for one.",
                hint=f"Fetch it again, or name another {self.what}.",
            )
        return model.eval().requires_grad_(False)

    def digests(self) -> list[str]:
        """sha256 of every file of weights."""
        return [sha256_of(file) for file in sorted(self.folder.glob("*.safetensors"))]


class DiffusersFolder(PretrainedFolder):
    """The same in diffusers' layout, whose models never bring code of their own."""

    library = "diffusers"
    settings: Mapping[str, bool] = {"low_cpu_mem_usage": False}  # with it, diffusers asks for accelerate


@contextmanager
def _fetching(what: str, wanted: str, without_network: str) -> Generator[None]:
    """Say how a `what` that is not to be had is fetched: `wanted` is its name, and its files."""
    try:
        yield
    except FacegenError:  # a signal's
        raise
    except Exception as error:  # the hub client raises its own, the HTTP library's and the system's errors
        raise MissingModelError(
            f"The {what} '{wanted.split()[0]}' is not on this machine and could not be fetched "
            f"({type(error).__name__}).",
            hint=f"With a network: hf download {wanted}\n{without_network}",
        ) from error


@contextmanager
def without_bars() -> Generator[None]:
    """transformers would draw bars of its own on stderr, whoever listens."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
