"""Names for shell completion, found without importing anything heavy."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def dataset_kinds(incomplete: str = "") -> list[str]:
    """Kinds that `facegen prepare` knows, e.g. "celeba", "image-folder"."""
    kinds = [kind.replace("_", "-") for kind in _files("datasets/[!_]*.py")]
    return _starting(incomplete.replace("_", "-"), kinds)


def sampler_kinds(incomplete: str = "") -> list[str]:
    """Kinds that `--sampler` knows."""
    return _starting(incomplete, _files("samplers/[!_]*.py"))


def preset_names(incomplete: str = "") -> list[str]:
    """Presets that ship with facegen."""
    return _starting(incomplete, _files("config/presets/*.yaml"))


def feature_networks(incomplete: str = "") -> list[str]:
    """Feature networks that `facegen eval fid --features` knows."""
    published = ("inception", "inception-clean", "clip", "clip-vit-l-14-336", "vgg16", "dinov2")
    return _starting(
        incomplete, [*published, "efficientnet-lite0", "random-inception", "dlib-face", "classifier:"]
    )


def attribute_requests(incomplete: str = "") -> list[str]:
    """`--attributes` with its last name completed: "Smiling=1,Eye" -> "Smiling=1,Eyeglasses="."""
    from facegen.vocabulary.words import ATTRIBUTE_WORDS

    head, separator, word = incomplete.rpartition(",")
    names = (name for name in sorted(ATTRIBUTE_WORDS) if name.casefold().startswith(word.casefold()))
    return [f"{head}{separator}{name}=" for name in names]


def _files(pattern: str) -> list[str]:
    return sorted(path.stem for path in _PACKAGE.glob(pattern))


def _starting(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


COMPLETIONS = {  # by what an `Option` says that it completes
    "attributes": attribute_requests,
    "dataset kinds": dataset_kinds,
    "feature networks": feature_networks,
    "presets": preset_names,
    "samplers": sampler_kinds,
}
