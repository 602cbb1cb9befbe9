"""`RUN/README.md`: the run as a model card in the Hugging Face hub's format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

import facegen
from facegen.errors import StorageError
from facegen.formats.far import written_beside
from facegen.formats.files import atomic_write
from facegen.report.blocks import Block, Facts, Figure
from facegen.report.evaluations import DISTRIBUTION, Shown
from facegen.report.facts import RunFacts
from facegen.report.front_matter import front_matter
from facegen.report.html import templates
from facegen.report.summary import how_long, is_it_better, score_sentences, train_again, use, what_it_is
from facegen.report.training import attribute_scores

CARD = "README.md"
MARK = "<!-- facegen report wrote this file and overwrites it; take this line out to keep your own words. -->"


def write_model_card(facts: RunFacts, shown: Shown) -> Path | None:
    """Write `RUN/README.md` and return its path; None where somebody else's README.md stands, which stays.

    Raises:
        StorageError: the folder cannot be written to, or the README.md there cannot be read.
    """
    path = written_beside(facts.run) / CARD
    try:
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
            return None
    except OSError as error:
        raise StorageError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    atomic_write(path, model_card(facts, shown, picture=shown_picture(facts, shown)))
    return path


def model_card(facts: RunFacts, shown: Shown, *, picture: Path | None, repository: str | None = None) -> str:
    """The card's text, with a `picture` that lies in the run; of a model on the hub with how it is had from
    its `repository`, "OWNER/NAME"."""
    name = facts.run.resolve().name if repository is None else repository.rpartition("/")[2]
    return card_text(
        "model_card.md",
        front_matter(facts, shown, name),
        mark=Markup(MARK),
        facts=facts,
        shown=shown,
        name=name,
        repository=repository,
        picture=None if picture is None else picture.relative_to(written_beside(facts.run)).as_posix(),
        how_long=how_long(facts),
        what_it_is=what_it_is(facts),
        is_it_better=is_it_better(facts),
        sentences=score_sentences(shown),
        closeness=_told(shown, DISTRIBUTION),
        copies=_told(shown, "memorization"),
        bias=attribute_scores(facts) if facts.kind == "classifier" else _told(shown, "subgroups"),
        training=_training(facts),
        train_again=train_again(facts),
        use=use(facts),
        in_python=_in_python(facts),
    )


def card_text(template: str, front: Mapping[str, Any], **values: Any) -> str:
    """A card: YAML front matter, then Markdown. Words stay words: the templates take no markup."""
    environment = templates(finalize=lambda value: value if isinstance(value, Markup) else _words(value))
    environment.filters |= {"fenced": _fenced, "literal": lambda text: Markup(json.dumps(text))}
    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)
    values = {"front": Markup(head), "version": facegen.__version__, **values}
    return environment.get_template(template).render(**values)


def shown_picture(facts: RunFacts, shown: Shown) -> Path | None:
    """The newest preview, else the faces of an evaluation of what came true; None where neither lies beside
    the card."""
    blocks = shown.told["attributes"].blocks if "attributes" in shown.told else ()
    judged = [one.path for one in blocks if isinstance(one, Figure)]
    place = written_beside(facts.run)
    beside = (one for one in (*reversed(facts.previews), *judged) if place in one.parents)
    return next((one for one in beside if one.is_file()), None)


def _told(shown: Shown, kind: str) -> Sequence[Block]:
    return shown.told[kind].blocks if kind in shown.told else ()


def _training(facts: RunFacts) -> Facts:
    recipe, checkpoint = facts.recipe, facts.checkpoint
    sections = {name: getattr(recipe, name) for name in ("autoencoder", "denoiser", "conditioner")}
    values = {
        "task": recipe.task.get("kind"),
        "preset": recipe.preset,
        **{name: section and section.get("kind") for name, section in sections.items()},
        "steps": checkpoint and checkpoint.step,
        "images seen": checkpoint and checkpoint.images_seen,
        "parameters": facts.num_parameters,
        "batch": recipe.training.batch_size,
        "optimizer": f"{recipe.optimizer.kind}, learning rate {recipe.optimizer.lr:g}",
        "seed": recipe.training.seed,
    }
    return Facts(values, title="")


def _in_python(facts: RunFacts) -> list[str]:
    """How to draw faces without the command line; empty where that takes more than a label."""
    labels = facts.checkpoint and facts.checkpoint.labels.attributes
    if facts.kind != "generator" or not labels or "like" in facts.asking.options:
        return []
    return [
        "import facegen",
        "",
        f"generator = facegen.load({facts.named!r})",
        f"faces = generator.sample({labels[0]!r}, count=8)  # faces.images: uint8 (8, 3, H, W)",
        'faces.grid().save("faces.png")',
    ]


def _words(value: object) -> Markup:
    """Words that stay words in Markdown: no markup, no table cells, one line."""
    text = escape(" ".join(str(value).split()), quote=False)
    return Markup(re.sub(r"([\\`*\[\]|])", r"\\\1", text))


def _fenced(lines: Sequence[str], language: str = "bash") -> Markup:
    """A block of code whose fence is longer than any run of backticks in it."""
    body = "\n".join(lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    return Markup(f"{fence}{language}\n{body}\n{fence}")
