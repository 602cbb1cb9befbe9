"""Names for shell completion, found without importing anything heavy."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def dataset_kinds(incomplete: str = "") -> list[str]:
    """Kinds that `facegen prepare` knows, e.g. "celeba", "image-folder"."""
    return [
        kind.replace("_", "-") for kind in _kinds("datasets") if kind.startswith(incomplete.replace("-", "_"))
    ]


def sampler_kinds(incomplete: str = "") -> list[str]:
    """Kinds that `--sampler` knows."""
    return [kind for kind in _kinds("samplers") if kind.startswith(incomplete)]


def preset_names(incomplete: str = "") -> list[str]:
    """Presets that ship with facegen."""
    names = sorted(path.stem for path in (_PACKAGE / "config" / "presets").glob("*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


def attribute_requests(incomplete: str = "") -> list[str]:
    """`--attributes` with its last name completed: "Smiling=1,Eye" -> "Smiling=1,Eyeglasses="."""
    head, separator, word = incomplete.rpartition(",")
    return [
        f"{head}{separator}{name}="
        for name in attribute_names()
        if name.casefold().startswith(word.casefold())
    ]


def feature_networks(incomplete: str = "") -> list[str]:
    """Feature networks that `facegen eval fid --features` knows."""
    names = ("inception", "clip", "vgg16", "dinov2", "classifier:")
    return [name for name in names if name.startswith(incomplete)]


def attribute_names() -> list[str]:
    """Every attribute that facegen has words for."""
    from facegen.vocabulary.words import ATTRIBUTE_WORDS

    return sorted(ATTRIBUTE_WORDS)


def _kinds(family: str) -> list[str]:
    names = (path.stem for path in (_PACKAGE / family).glob("*.py"))
    return sorted(name for name in names if not name.startswith("_"))


COMPLETIONS = {  # by what an `Option` says that it completes
    "attributes": attribute_requests,
    "dataset kinds": dataset_kinds,
    "feature networks": feature_networks,
    "presets": preset_names,
    "samplers": sampler_kinds,
}
