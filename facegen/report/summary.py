"""A run in plain words, for the page and the model card: what it is, its main numbers, what to do with it."""

from __future__ import annotations

from collections.abc import Iterator

from facegen.report.blocks import Block, Commands, Headline
from facegen.report.evaluations import KINDS, Shown
from facegen.report.facts import RunFacts
from facegen.report.words import cell, duration, percent, quoted

NAMES = {"generator": "A generator", "autoencoder": "An autoencoder", "classifier": "A classifier"}


def summary(facts: RunFacts, shown: Shown) -> list[str]:
    """Paragraphs: what was trained on what and for how long, whether it learned, what it scores, what is
    not known."""
    unknown = "; ".join(KINDS[kind].unknown for kind in shown.missing)
    parts = [
        what_it_is(facts),
        how_long(facts),
        is_it_better(facts),
        " ".join(score_sentences(shown)),
        f"Not known yet: {unknown}." if unknown else "",
    ]
    return [part for part in parts if part]


def score_sentences(shown: Shown) -> list[str]:
    """A sentence for each evaluation, with how sure it is."""
    return [sentence for told in shown.told.values() for sentence in told.sentences]


def what_it_is(facts: RunFacts) -> str:
    """What was trained, how large, and on what."""
    size = facts.image_size
    of = f" of {size}×{size} pixel faces" if size else " of faces"
    words = [f"{NAMES[facts.kind]}{of}"]
    if facts.kind == "generator" and facts.asking.options:
        words.append(f", asked with {facts.asking.condition}")
    if facts.num_parameters:
        count = facts.num_parameters
        told = f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count:,}"
        words.append(f", with {told} parameters")
    data, split = facts.data, facts.recipe.data.train_split
    count = (data.counts or {}).get(split)
    if count:
        words.append(f", trained on {count:,} images of {data.name or data.path}")
    elif data.path:
        words.append(f", trained on '{data.path}', which is not there to look at any more")
    about = f" {facts.recipe.about}" if facts.recipe.about else ""
    return "".join(words) + "." + about


def how_long(facts: RunFacts) -> str:
    """Steps, images and time of its training, as far as its log tells."""
    rows = facts.logged("train")
    if not rows:
        return "It has not logged a single training step yet."
    last = rows[-1]
    text = f"It trained for {last['step']:,} steps"
    if isinstance(seen := last.get("images_seen"), int):
        text += f" and saw {seen:,} images"
        count = (facts.data.counts or {}).get(facts.recipe.data.train_split)
        if count:
            text += f", each about {cell(round(seen / count, 1))} times"
    if (seconds := facts.training_seconds) is not None:
        text += f", in about {duration(seconds)}{_machine(facts)}"
    return text + "."


def _machine(facts: RunFacts) -> str:
    devices, threads = facts.environment.get("cuda_devices"), facts.environment.get("cpu_threads")
    if isinstance(devices, list) and devices:
        return f" on {devices[0]}"
    if isinstance(threads, int):
        return f" on {threads} CPU {'thread' if threads == 1 else 'threads'}"
    return ""


def is_it_better(facts: RunFacts) -> str:
    """Whether it is better than guessing, as the newest validation says."""
    row = facts.validation
    if not row:
        return "It was never validated, so nobody knows whether it is better than guessing."
    told = row.get("verdict") or f"held-out loss {cell(row.get('loss'))}"
    verdict = f"{str(told).rstrip('.')} (step {row['step']:,})."
    better = row.get("better_than_trivial")
    if better is None:
        return verdict[0].upper() + verdict[1:]
    start = "It is better than guessing: " if better else "It is no better than guessing: "
    return start + verdict


def headlines(facts: RunFacts, shown: Shown) -> list[Headline]:
    """The numbers to look at first: what was learned, then what the evaluations say."""
    return [*_learned(facts), *(one for told in shown.told.values() for one in told.headlines)]


def _learned(facts: RunFacts) -> Iterator[Headline]:
    row, encoded = facts.validation, "held-out images, encoded and decoded"
    loss, trivial, psnr = row.get("loss"), row.get("trivial_loss"), row.get("psnr")
    if isinstance(loss, float) and isinstance(trivial, float) and trivial > 0:
        told = f"loss {cell(loss)} on held-out images, guessing scores {cell(trivial)}"
        yield Headline("less error than guessing", f"{100 * (1 - loss / trivial):.0f} %", told)
    if isinstance(psnr, float):
        floor = row.get("mean_image_psnr")
        told = "" if floor is None else f"the mean image: {floor:.1f}"
        yield Headline("dB PSNR in training’s check", f"{psnr:.1f}", encoded, target=told)
    if isinstance(share := row.get("balanced_accuracy"), float):
        yield Headline("balanced accuracy", str(percent(share)), "mean, on held-out images")
    if isinstance(auc := row.get("auc"), float):
        yield Headline("AUC", f"{auc:.3f}", "mean, on held-out images")


def use(facts: RunFacts) -> list[Block]:
    """What to do with the run, as command lines."""
    run = quoted(facts.named)
    if facts.checkpoint is None:
        told, lines = "There is no checkpoint yet. To go on training:", [f"train --resume --run {run}"]
    elif facts.kind == "classifier":
        told = "Let it judge a generator, or label other faces:"
        lines = [f"eval attributes GENERATOR --classifier {run}", f"label DATASET --classifier {run}"]
    elif facts.kind == "autoencoder":
        dataset = quoted(facts.data.dataset) if facts.data.dataset else "DATASET"
        told = "Encode faces with it, to train a generator on the latents:"
        lines = [f"encode {dataset} --autoencoder {run} --out latents"]
    else:
        told, lines = (
            "Draw faces:",
            [" ".join(filter(None, ["sample", run, facts.asking.example, "--count 16"]))],
        )
    return [told, Commands([f"facegen {line}" for line in lines])]


def train_again(facts: RunFacts) -> Commands:
    """The command line that trains the same in another folder."""
    return Commands([f"facegen train --config {quoted(f'{facts.named}/recipe.yaml')} --run ANOTHER"])
