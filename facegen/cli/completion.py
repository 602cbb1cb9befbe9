"""Names for shell completion, found without importing anything heavy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
DEEPEST = 3  # folders within one another, from what was typed, in which runs are looked for
MOST_SEEN = 2000  # entries of a folder


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
    head, separator, word = incomplete.rpartition(",")
    names = (name for name in attribute_names() if name.casefold().startswith(word.casefold()))
    return [f"{head}{separator}{name}=" for name in names]


def attribute_names() -> list[str]:
    """The labels of the lexicon, read off its text: YAML and torch, which its module needs, take a second."""
    text = (_PACKAGE / "vocabulary" / "lexicon.yaml").read_text("utf-8")
    own = re.split(r"^(?=\w)", text.partition("\nattributes:\n")[2], maxsplit=1, flags=re.M)[0]
    return sorted({"Male", *re.findall(r"^  (\w+):", own, re.M)})


def recipe_overrides(incomplete: str = "") -> list[str]:
    """`--set` with its key completed, section by section: "optimizer.l" -> "optimizer.lr=" and others."""
    from facegen.cli.recipe_keys import recipe_keys

    section = incomplete.partition(".")[0]
    sections = _starting(incomplete, recipe_keys(""))
    inside = [f"{section}."] if "." in incomplete else sections
    if len(inside) != 1:
        return sections
    return [f"{key}=" for key in _starting(incomplete, recipe_keys(inside[0].rstrip(".")))]


def run_folders(incomplete: str = "") -> list[str]:
    """Runs whose path starts as typed, three folders deep from there, and the one in the box."""
    typed, _, begun = incomplete.rpartition("/")
    folder = Path(f"{typed}/") if "/" in incomplete else Path()
    found = [
        run for inner in _folders(folder) if inner.name.startswith(begun) for run in _runs(inner, DEEPEST)
    ]
    named = {
        str(run): f"{typed}/{run.relative_to(folder)}" if "/" in incomplete else str(run) for run in found
    }
    return [*named.values(), *_starting(incomplete, ["box"])]


def recipes(incomplete: str = "") -> list[str]:
    """What the commands of `facegen config` take: presets and runs."""
    return [*preset_names(incomplete), *run_folders(incomplete)]


def _runs(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "recipe.yaml").is_file():
        yield folder
    elif depth > 1:
        for inner in _folders(folder):
            yield from _runs(inner, depth - 1)


def _folders(folder: Path) -> list[Path]:
    """The folders among the first entries of a folder, hidden ones left out."""
    with suppress(OSError), os.scandir(folder) as entries:
        seen = islice(entries, MOST_SEEN)
        names = [
            one.name for one in seen if not one.name.startswith(".") and one.is_dir(follow_symlinks=False)
        ]
        return [folder / name for name in sorted(names)]
    return []


def _files(pattern: str) -> list[str]:
    return sorted(path.stem for path in _PACKAGE.glob(pattern))


def _starting(incomplete: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


COMPLETIONS = {  # by what an `Option` says that it completes
    "attributes": attribute_requests,
    "dataset kinds": dataset_kinds,
    "feature networks": feature_networks,
    "presets": preset_names,
    "recipe keys": recipe_overrides,
    "recipes": recipes,
    "runs": run_folders,
    "samplers": sampler_kinds,
}
