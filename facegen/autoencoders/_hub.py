"""Fetching a published autoencoder: its configuration and its safetensors weights, nothing else."""

from __future__ import annotations

from pathlib import Path

from facegen.errors import MissingModelError

PROBE_TIMEOUT_SECONDS = 5.0
CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def fetch_from_hub(name: str) -> Path:
    """Local folder of the diffusers autoencoder `name`; a pipeline gives its `vae`.

    What is cached is taken without asking the network. HF_HUB_OFFLINE=1 is honoured.

    Raises:
        MissingModelError: offline and not cached, no such model, or no safetensors weights in it.
    """
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    for prefix in ("", "vae/"):
        try:
            return _fetch(name, prefix, cached_only=True)
        except LocalEntryNotFoundError:
            continue
        except ValueError as error:
            raise _missing(name, error) from error
    _probe(name)
    try:
        try:
            return _fetch(name, "", cached_only=False)
        except EntryNotFoundError:
            return _fetch(name, "vae/", cached_only=False)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _missing(name, error) from error


def _probe(name: str) -> None:
    """Ask the hub for a sign of life once: its client alone would retry for half a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_TIMEOUT_SECONDS)
    except Exception as error:  # whatever the HTTP library of this hub version raises: there is no answer
        raise _missing(name, error) from error


def _fetch(name: str, prefix: str, *, cached_only: bool) -> Path:
    from huggingface_hub import hf_hub_download

    config = hf_hub_download(name, prefix + CONFIG, local_files_only=cached_only)
    hf_hub_download(name, prefix + WEIGHTS, local_files_only=cached_only)
    return Path(config).parent


def _missing(name: str, error: Exception) -> MissingModelError:
    return MissingModelError(
        f"The autoencoder '{name}' is not on this machine and could not be fetched "
        f"({type(error).__name__}); its {CONFIG} and {WEIGHTS} are needed.",
        hint=f"With a network: hf download {name}\n"
        "Without: give a local folder (--autoencoder FOLDER), or train one "
        "(facegen train --preset celeba-autoencoder --data DATASET --run RUN) and give --autoencoder RUN.",
    )
