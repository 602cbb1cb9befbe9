"""The words of the command line, frozen: a change here is a change for everybody's scripts."""

from __future__ import annotations

import pytest
from support.command_lines import all_commands

TALK = {"--json", "--quiet", "-q"}
OPENS_NO_MODEL = {
    "bench",
    "clean",
    "compare",
    "config copy",
    "config diff",
    "config list",
    "config schema",
    "config show",
    "config validate",
    "demo",
    "doctor",
    "eval ladder",
    "make",
    "prepare",
    "runs",
    "slurm",
    "version",
}
FIGURE = {"--out", "--csv", "--show", "--json"}
ASKED = {"--prompt", "--attributes", "--class", "--like", "--crop"}
SAMPLED = {
    "--count",
    "--seed",
    "--guidance",
    "--guidance-interval",
    "--sampler",
    "--steps",
    "--device",
    "--quiet",
    "-q",
}
MOVING = {"--frames", "--fps", "--hold"}
FEATURES = {"--features", "--weights"}
DRAWN = {"--seed", "--guidance", "--guidance-interval", "--sampler", "--steps", "--batch-size", "--device"}
DISTRIBUTION = {
    "subject",
    "--reference",
    "--num-samples",
    "--split",
    "--seed",
    "--guidance",
    "--guidance-interval",
    "--sampler",
    "--steps",
    "--sweep",
    "--dry-run",
    "--batch-size",
    "--device",
}
FLAGS = {
    "bench": {"stage", "--out", "--quick", "--compare"} | TALK,
    "demo": {"--out", "--minutes", "--seed", "--size"} | TALK,
    "make": {"source", "--out", "--minutes", "--seed", "--kind", "--autoencoder"} | TALK,
    "prepare": {
        "kind",
        "--dry-run",
        "source",
        "--out",
        "--size",
        "--crop",
        "--min-side",
        "--count",
        "--variety",
        "--limit",
        "--splits",
        "--seed",
        "--strict",
        "--renew",
        "--max-reject-share",
        "--labels",
        "--layout",
        "--columns",
        "--conflicts",
        "--align",
        "--faces",
        "--min-face",
        "--min-sharpness",
        "--exclude",
        "--finder",
        "--subset",
        "--revision",
        "--workers",
    }
    | TALK,
    "label": {
        "dataset",
        "--classifier",
        "--out",
        "--min-confidence",
        "--attributes",
        "--device",
    }
    | TALK,
    "encode": {
        "dataset",
        "--autoencoder",
        "--out",
        "--flips",
        "--scaling",
        "--text-encoder",
        "--image-encoder",
        "--limit",
        "--shard-size",
        "--batch-size",
        "--dtype",
        "--device",
        "--afresh",
        "--dry-run",
    }
    | TALK,
    "train": {
        "--run",
        "--preset",
        "--config",
        "--set",
        "--data",
        "--size",
        "--resume",
        "--extend",
        "--after-decay",
        "--from",
        "--weights",
        "--upload",
        "--verify-resume",
        "--device",
        "--dry-run",
    }
    | TALK,
    "slurm": {
        "--run",
        "--preset",
        "--config",
        "--set",
        "--data",
        "--size",
        "--nodes",
        "--gpus-per-node",
        "--time",
        "--partition",
        "--account",
        "--out",
    },
    "runs": {"folder", "--json"},
    "clean": {"path", "--checkpoints", "--unfinished", "--yes", "-y", "--json"},
    "verify": {"path", "--repair", "--json"},
    "replay": {"capsule", "--data", "--device"} | TALK,
    "ema": {"run", "--width", "--step", "--out", "--json"},
    "edit": {
        "photo",
        "--run",
        "--prompt",
        "--attributes",
        "--class",
        "--from-prompt",
        "--from-attributes",
        "--from-class",
        "--strength",
        "--mask",
        "--region",
        "--crop",
        "--finder",
        "--guidance",
        "--steps",
        "--classifier",
        "--distance",
        "--features",
        "--out",
        "--device",
        "--weights",
    }
    | TALK,
    "sample": {
        "run",
        "--dry-run",
        "--explain",
        "--prompt",
        "--attributes",
        "--class",
        "--blend",
        "--like",
        "--between",
        "--frames",
        "--crop",
        "--negative",
        "--count",
        "--seed",
        "--out",
        "--guidance",
        "--guidance-interval",
        "--sampler",
        "--steps",
        "--weights",
        "--batch-size",
        "--device",
    }
    | TALK,
    **{
        f"eval {name}": DISTRIBUTION | FEATURES | {"--requests"} | TALK
        for name in ("all", "fid", "kid", "mind", "precision-recall", "inception-score")
    },
    **{
        f"eval {name}": DISTRIBUTION | {"--weights"} | TALK
        for name in ("fd-dinov2", "clean-fid", "diversity", "cmmd")
    },
    "eval edit": {
        "run",
        "--classifier",
        "--attributes",
        "--num-samples",
        "--strength",
        "--sdedit",
        "--data",
        "--reference",
        "--split",
        "--distance",
        "--features",
        "--grid-faces",
        "--seed",
        "--guidance",
        "--steps",
        "--batch-size",
        "--device",
    }
    | TALK,
    "studio": {"run", "--host", "--port", "--password-file", "--open", "--weights", "--device"},
    "reproduce": {"image", "--run", "--photo", "--out", "--device"} | TALK,
    "compare": {"a", "b", "--score", "--json"},
    "report": {"run", "--out", "--json"},
    "plot schedule": {"subject"} | FIGURE,
    "plot latents": {
        "source",
        "--method",
        "--color-by",
        "--thumbnails",
        "--count",
        "--split",
        "--seed",
        "--perplexity",
        "--quiet",
        "-q",
    }
    | FIGURE,
    "plot attention": {"run", "--kind", "--layers", "--frames", "--at", "--word"}
    | (ASKED | SAMPLED) - {"--count"}
    | FIGURE,
    "plot architecture": {"subject", "--depth"} | FIGURE,
    "plot samples": {"subject", "--data"} | ASKED | SAMPLED | FIGURE,
    "plot denoising": {"run", "--frames"} | ASKED | SAMPLED | FIGURE,
    "plot animation": {"run", "--walk", "--what", "--easing", "--scale"} | MOVING | ASKED | SAMPLED | FIGURE,
    "plot reconstructions": {"autoencoder", "dataset", "--split", "--count", "--seed", "--amplify"}
    | {"--device"}
    | FIGURE,
    "plot blend": {"run", "--blend"} | SAMPLED | FIGURE,
    "plot interpolation": {"run", "--from", "--to", "--between", "--seeds", "--frames"}
    | ASKED
    | SAMPLED
    | FIGURE,
    "plot timelapse": {"run", "--source"} | MOVING | ASKED | SAMPLED | FIGURE,
    "plot attributes": {"dataset", "--split"} | FIGURE,
    "plot ema": {"run", "--width", "--step", "--data", "--device", "--quiet", "-q"} | FIGURE,
    "plot curves": {"runs", "--metric", "--smooth"} | FIGURE,
    "eval ladder": {"subjects", "--score", "--published", "--out", "--json"},
    "eval classifier": {"run", "dataset", "--split", "--min-positives", "--device"} | TALK,
    "eval attributes": {
        "run",
        "--classifier",
        "--num-samples",
        "--data",
        "--reference",
        "--split",
        "--attributes",
        "--min-asked",
        "--grid-images",
        "--seed",
        "--guidance",
        "--guidance-interval",
        "--sampler",
        "--steps",
        "--device",
    }
    | TALK,
    "eval control": {
        "run",
        "--classifier",
        "--attributes",
        "--num-samples",
        "--base",
        "--data",
        "--reference",
        "--split",
        "--grid-pairs",
        "--seed",
        "--guidance",
        "--guidance-interval",
        "--sampler",
        "--steps",
        "--device",
    }
    | TALK,
    "eval clip-score": {"subject", "--clip", "--prompt", "--num-samples", "--data", "--split"} | DRAWN | TALK,
    "eval reconstruction": {
        "autoencoder",
        "dataset",
        "--distance",
        "--lpips-weights",
        "--vgg16-weights",
        "--split",
        "--num-samples",
        "--worst-images",
        "--out",
        "--seed",
        "--batch-size",
        "--device",
    }
    | FEATURES
    | TALK,
    "eval memorization": {
        "subject",
        "--train",
        "--people",
        "--nominal-rate",
        "--num-samples",
        "--split",
        "--shown-pairs",
        "--out",
    }
    | DRAWN
    | FEATURES
    | TALK,
    "eval subgroups": {
        "subject",
        "--classifier",
        "--reference",
        "--num-samples",
        "--data",
        "--split",
        "--reference-split",
        "--small-below",
        "--apart-from",
    }
    | DRAWN
    | FEATURES
    | TALK,
    "eval metric": {
        "run",
        "--metric",
        "--num-samples",
        "--reference",
        "--split",
        "--seed",
        "--guidance",
        "--guidance-interval",
        "--sampler",
        "--steps",
        "--device",
    }
    | TALK,
    "doctor": TALK,
    "export": {"run", "out", "--to", "--seed", "--weights"} | TALK,
    "config list": {"--json"},
    "config show": {"name", "--resolved"},
    "config copy": {"name", "out"},
    "config validate": {"name", "--set", "--json"},
    "config diff": {"a", "b", "--json"},
    "config schema": set[str](),
    "version": {"--json"},
}


def test_the_commands_are_these() -> None:
    assert set(all_commands()) == set(FLAGS)


@pytest.mark.parametrize("words", sorted(FLAGS))
def test_the_options_of_a_command_are_these(words: str) -> None:
    parameters = all_commands()[words].params
    outside = set() if words in OPENS_NO_MODEL else {"--allow-outside-code"}
    assert {name for parameter in parameters for name in parameter.opts} == FLAGS[words] | outside
