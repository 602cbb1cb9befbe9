"""`facegen verify`: what is whole, what is damaged, what does not belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from facegen.autoencoders import load_autoencoder
from facegen.errors import UsageError
from facegen.formats.checkpoint_head import INFO_FILE
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.far import near
from facegen.formats.latents import AUTOENCODER_FOLDER, INDEX_FILE, LatentStore, check_file, read_index
from facegen.formats.run import RECIPE_FILE
from facegen.sampling.png_settings import read_image_settings
from facegen.sampling.weights_search import find_checkpoint
from facegen.verification.findings import Finding, Verification, check_sum, found, matched
from facegen.verification.runs import verify_checkpoint, verify_run


def verify(path: Path, *, repair: bool = False) -> Verification:
    """Look at everything in `path`, which is a data set, latents, a run, a checkpoint or a picture.

    `repair` mends a run: leftovers go, a torn last line too, files of its autoencoder are copied from where
    they still are whole, and a damaged checkpoint is set aside where another one is whole.

    Raises:
        UsageError: nothing of facegen's, or a process trains in the run that is to be repaired.
    """
    here = near(path)
    kinds: dict[str, tuple[bool, Callable[[], Iterator[Finding]]]] = {
        "run": ((here / RECIPE_FILE).is_file(), partial(verify_run, here, repair=repair)),
        "checkpoint": ((here / INFO_FILE).is_file(), partial(verify_checkpoint, here, here.name)),
        "latents": ((here / INDEX_FILE).is_file(), partial(_latents, here)),
        "data set": ((here / MANIFEST_NAME).is_file(), partial(_dataset, here)),
        "picture": (here.is_file(), partial(_picture, here)),
    }
    for kind, (is_it, findings) in kinds.items():
        if is_it:
            if repair and kind != "run":
                raise UsageError(
                    f"'{path}' is a {kind}; --repair is for runs.",
                    hint="Leave it out: what is found says which command makes it anew.",
                )
            return Verification(str(path), kind, tuple(findings()))
    raise UsageError(
        f"'{path}' is none of facegen's." if here.exists() else f"'{path}' does not exist.",
        hint="Name a data set, latents, a run, a checkpoint or a picture.",
    )


def _dataset(folder: Path) -> Iterator[Finding]:
    """Every file, and the fingerprint over images and labels."""
    dataset = Dataset.open(folder)
    again = f"facegen prepare {dataset.manifest.kind} SOURCE --out {folder}"
    mend = f"Delete '{folder}' and make it again: {again}"
    for name, digest in dataset.manifest.files.items():
        yield found(name, partial(check_sum, folder / name, digest), mend)
    yield found("images and labels", dataset.verify, mend)


def _latents(folder: Path) -> Iterator[Finding]:
    """Every file, and whether the autoencoder beside them is the one that encoded."""
    index = read_index(folder)
    for file in index.files:
        yield found(file.name, partial(check_file, folder, file, content=True))
    autoencoder = LatentStore(folder, index).autoencoder_folder
    if autoencoder is not None:
        loaded = found(AUTOENCODER_FOLDER, lambda: load_autoencoder(str(autoencoder)))
        yield loaded
        if loaded.state == "whole":
            fingerprint = load_autoencoder(str(autoencoder)).fingerprint
            about = "fingerprint of the autoencoder and of the one that encoded"
            mend = f"Encode again: facegen encode DATASET --autoencoder NAME --out {folder} --afresh"
            yield matched("autoencoder", fingerprint, index.autoencoder["fingerprint"], about, mend)


def _picture(file: Path) -> Iterator[Finding]:
    """Its pixels, its settings, and whether the weights that it names are still to be found."""

    def decode() -> None:
        with Image.open(file) as image:
            image.load()

    yield found("pixels", decode)
    settings = found("settings", lambda: read_image_settings(file))
    yield settings
    if settings.state == "whole":
        told = read_image_settings(file)
        checkpoint = found("weights", lambda: find_checkpoint(told, file))
        yield checkpoint
        if checkpoint.state == "whole":
            yield from verify_checkpoint(find_checkpoint(told, file), "weights")
