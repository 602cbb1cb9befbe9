"""The model in the box, made from nothing: avatars, autoencoder, classifier, generator, decoder, scores.

python examples/box.py OUT                       hours: what the four recipes say
python examples/box.py OUT --into facegen/box    and puts the result into the package
python examples/box.py OUT --smoke               seconds, to see that it runs; the faces are noise

Stopped anywhere, the same command goes on where it stood. What is put into the package is an ordinary run
without what training alone needs: averaged weights and autoencoder in half precision, and `box.json` with the
sha256 of every file and how it was made.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from facegen.autoencoders import load_autoencoder
from facegen.config.composition import compose
from facegen.encoding.encode import EncodeOptions, encode
from facegen.evaluation.attributes import evaluate_attributes
from facegen.evaluation.distribution import evaluate
from facegen.evaluation.options import AttributeOptions, DistributionOptions
from facegen.formats.box import BOX_FILE, FORMAT_VERSION
from facegen.formats.checkpoint import load_checkpoint, save_checkpoint
from facegen.formats.checkpoint_head import checkpoint_name, list_checkpoints
from facegen.formats.dataset import Dataset
from facegen.formats.files import sha256_of, write_json
from facegen.formats.run import ENVIRONMENT_FILE, RECIPE_FILE, RunDirectory
from facegen.models.classifier import load_classifier
from facegen.models.loading import load
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.progress import SilentProgress
from facegen.sampling.records import generated_batches, open_records
from facegen.training.options import AS_IT_IS, LifeOptions
from facegen.training.train import train
from facegen.types import PromptReading

NUM_AVATARS = 40_000
NUM_SCORED = 1000
PRESETS = {
    "autoencoder": "box-autoencoder",
    "classifier": "box-classifier",
    "generator": "box",
    "decoder": "box-decoder",
}
ABOUT_THIS_MACHINE = ("host", "command", "id", "platform")  # of environment.json
PLACES = ("run", "subject", "reference", "data", "classifier", "saved_to", "grid")  # in reports


def main(out: Path, into: Path | None, *, smoke: bool) -> Path:
    """Make everything below `out`; return the packed run."""
    if into is not None and into.exists() and not (into / RECIPE_FILE).is_file():
        raise SystemExit(f"'{into}' is there and holds no packed run; nothing of it is replaced.")
    avatars, latents = out / "avatars", out / "latents"
    size = 32 if smoke else 128
    options = PrepareOptions(count=64 if smoke else NUM_AVATARS, size=size, variety="rich")
    prepare("avatars", None, avatars, options, SilentProgress())
    trained(out, "autoencoder", avatars, smoke=smoke)
    trained(out, "classifier", avatars, smoke=smoke)
    encode(avatars, str(out / "autoencoder"), latents, EncodeOptions(), SilentProgress())
    trained(out, "generator", latents, smoke=smoke)
    trained(out, "decoder", avatars, LifeOptions(source=out / "autoencoder"), smoke=smoke)

    packed = into or out / "box"
    pack(out, packed)
    num_scored = 16 if smoke else NUM_SCORED
    score(packed, out / "classifier", avatars, num_samples=num_scored)
    seal(out, packed, ask_little(packed, out / "classifier", avatars, num_samples=num_scored))
    return packed


def trained(out: Path, name: str, data: Path, life: LifeOptions = AS_IT_IS, *, smoke: bool) -> None:
    """Train one of the four, or go on with it, to its last step."""
    run = RunDirectory(out / name)
    begun = run.exists
    settings = [f"data.path={json.dumps(str(data.resolve()))}"]
    size = "smoke" if smoke else "full"
    recipe = run.recipe() if begun else compose(PRESETS[name], overrides=settings, size=size)
    if checkpoint_name(recipe.training.max_steps or 0) not in (
        path.name for path in list_checkpoints(run.path)
    ):
        life = AS_IT_IS if begun else life
        print(train(recipe, run.path, resume=begun, life=life).validation["verdict"])


def pack(out: Path, packed: Path) -> None:
    """The generator's best checkpoint as a run for use alone, in half precision, with the better decoder."""
    if packed.exists():
        shutil.rmtree(packed)
    packed.mkdir(parents=True)
    run, checkpoint = RunDirectory(out / "generator"), load_checkpoint(out / "generator")
    autoencoder = out / "autoencoder-half"
    of_latents, better = load_autoencoder(out / "autoencoder"), load_autoencoder(out / "decoder")
    check_encoder(of_latents.module, better.module)
    better.save(autoencoder)
    weights = autoencoder / "model.safetensors"
    save_file({name: value.half() for name, value in load_file(weights).items()}, weights)
    reference = {**load_autoencoder(autoencoder).reference(), "source": "autoencoder"}

    sampling = compose(PRESETS["generator"]).model_dump(mode="json")["sampling"]  # may be chosen afterwards
    recipe = {**run.recipe().shared(), "sampling": sampling}
    RunDirectory(packed).start(run.recipe().model_validate(recipe))
    told = json.loads((run.path / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    data = Dataset.open(out / "avatars").manifest
    counts = {"train": data.counts["train"]}
    told["data"] = {"name": data.kind, "licence": data.source["licence"], "counts": counts}
    write_json(packed / ENVIRONMENT_FILE, {n: told[n] for n in told if n not in ABOUT_THIS_MACHINE})
    shutil.copyfile(run.metrics_file, packed / run.metrics_file.name)
    save_checkpoint(
        packed / "checkpoints" / checkpoint.folder.name,
        replace(checkpoint.info, recipe=recipe, autoencoder=reference),
        {"ema": {name: value.half() for name, value in checkpoint.weights("ema").items()}},
        None,
        autoencoder,
    )


def check_encoder(of_latents: nn.Module, better: nn.Module) -> None:
    """See to it that the generator's latents are those that the better decoder was trained for."""
    theirs = of_latents.state_dict()
    for name, value in better.state_dict().items():
        if name.startswith("encoder.") and not torch.equal(value, theirs[name]):
            raise SystemExit(f"'{name}' differs: the decoder was not trained for this autoencoder's latents.")


def score(packed: Path, classifier: Path, avatars: Path, *, num_samples: int) -> None:
    """Judge what was packed; the reports stay in it."""
    asked = AttributeOptions(num_samples=num_samples, data=avatars)
    attributes = evaluate_attributes(packed, classifier, asked)
    features = DistributionOptions(features=f"classifier:{classifier}", num_samples=num_samples)
    fid = evaluate(packed, avatars, ("fid",), features)
    print(f"Came true: {attributes.share_present:.1%} of what was asked to be there")
    print(f"Fréchet distance: {fid.scores['fid'].value:.2f}")
    for path in (packed / "evaluations").glob("*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        named = {name: Path(told[name]).name for name in PLACES if isinstance(told.get(name), str)}
        write_json(path, told | named)


def ask_little(packed: Path, classifier: Path, avatars: Path, *, num_samples: int) -> dict[str, float]:
    """As people ask: one to four things that are there, the rest left open. How often they are seen."""
    generator, judge, chance = (
        load(packed, "cpu"),
        load_classifier(classifier, torch.device("cpu")),
        random.Random(0),
    )
    rows = open_records(avatars, "validation").frame[list(generator.attributes)].to_dict("records")
    asked: list[dict[str, float]] = []
    for row in chance.choices(rows, k=num_samples):
        there = [str(name) for name, value in row.items() if value == 1]
        asked.append(dict.fromkeys(chance.sample(there, min(len(there), chance.randint(1, 4))), 1.0))
    inputs = torch.cat([generator.inputs_for(PromptReading(labels)) for labels in asked])
    columns = {name: column for column, name in enumerate(judge.attributes)}
    hits: list[list[bool]] = []
    for place, faces in generated_batches(generator, inputs, generator.sampling, seed=0):
        seen = (judge.logits(faces) > 0).tolist()
        hits += [
            [answers[columns[name]] for name in labels]
            for answers, labels in zip(seen, asked[place], strict=True)
        ]
    told = {
        "came_true": sum(map(sum, hits)) / sum(map(len, hits)),
        "whole_requests": sum(map(all, hits)) / len(hits),
    }
    print(f"Asked for one to four things: {told}")
    return told


def seal(out: Path, packed: Path, asked_little: dict[str, float]) -> None:
    """Write `box.json`: every file's sha256, and how each part was made."""
    files = sorted(path for path in packed.rglob("*") if path.is_file() and path.name != BOX_FILE)
    made: dict[str, Any] = {
        "command": "python examples/box.py OUT --into facegen/box",
        "cores": os.cpu_count(),
        "asked_for_one_to_four_things": asked_little,
        "runs": {name: _record(RunDirectory(out / name)) for name in PRESETS},
    }
    for path in files:
        path.chmod(0o644)
    sums = {path.relative_to(packed).as_posix(): sha256_of(path) for path in files}
    write_json(packed / BOX_FILE, {"format_version": FORMAT_VERSION, "made": made, "files": sums})


def _record(run: RunDirectory) -> dict[str, Any]:
    recipe, checkpoint = run.recipe(), load_checkpoint(run.path)
    environment = json.loads((run.path / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    logged = [row for row in run.metrics() if row["group"] == "train"]
    return {
        "preset": recipe.preset,
        "seed": recipe.training.seed,
        "steps": checkpoint.info.step,
        "images_seen": checkpoint.info.images_seen,
        "seconds": round(logged[-1]["images_seen"] / logged[-1]["images_per_second"]),
        "precision": environment["precision"],
        "threads": environment["cpu_threads"],
        "data_fingerprint": checkpoint.info.data_fingerprint,
        "weights_sha256": checkpoint.info.files["ema.safetensors"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--into", type=Path, help="where the packed run goes; left out: OUT/box")
    parser.add_argument("--smoke", action="store_true")
    arguments = parser.parse_args()
    print(f"Packed: {main(arguments.out, arguments.into, smoke=arguments.smoke)}")
