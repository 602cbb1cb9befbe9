"""Inputs that once ended in another exception, or took too long: by reader, made when they are asked for."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

from support.fuzzed.mutations import DEEP, DIGITS, LAUGHS, NESTED, edit_png, edit_safetensors
from support.fuzzed.sources import ARCHIVES, NAMED_LABELS, PICTURE, PICTURES, zipped
from support.fuzzed.stored import (
    CHECKPOINT,
    DATASET,
    INFO,
    LATENTS,
    RUN,
    SHARD,
    WEIGHTS_FILE,
    picture,
    tables,
)
from support.hub_server import parquet_bytes

from facegen.formats.checkpoint import STATE_FILE
from facegen.formats.dataset import MANIFEST_NAME
from facegen.formats.latents import INDEX_FILE


def _changed(told: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**told, **changes}).encode()


def _far_entry() -> bytes:
    """A zip whose first entry lies before its beginning."""
    data = bytearray(ARCHIVES[0])
    at = data.index(b"PK\x01\x02") + 42
    data[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    return bytes(data)


def _dataset_json() -> list[bytes]:
    told = DATASET.json(MANIFEST_NAME)
    other = {**told["labels"], "attributes": ["Sling"]}
    sizes = [_changed(told, image_size=size) for size in (0, -1, 2**31)]
    return [_changed(told, labels=other), *sizes, _changed(told, counts={"train": -3}), DEEP.encode()]


def _index_json() -> list[bytes]:
    told = LATENTS.json(INDEX_FILE)
    shard = {**told["shards"]["train"][0], "name": "../../etc/passwd"}
    return [
        _changed(told, records={"train": told["records"]["train"]}),
        _changed(told, sample_shape=[-1, -1, -1]),
        _changed(told, shards={**told["shards"], "train": [shard]}),
        _changed(told, order={"unknown": shard}),
        _changed(told, shards={**told["shards"], "train": [{**shard, "name": "x" * 400}]}),
        _changed(told, shards={**told["shards"], "train": [{**shard, "name": "x", "count": 2**63}]}),
    ]


def _shards() -> list[bytes]:
    """Without one tensor, and with another type."""
    data = LATENTS.files()[SHARD]
    return [edit_safetensors(data, [(10, where, 0)]) for where in range(6)] + [
        data.replace(b'"F16"', b'"BF16"')
    ]


def _infos() -> list[bytes]:
    told = RUN.json(INFO)
    network = {**told["recipe"]["denoiser"], "width": 0, "num_heads": 0}
    return [
        _changed(told, sample_shape=[3, 0, 0]),
        _changed(told, recipe={**told["recipe"], "denoiser": network}),
        _changed(told, autoencoder=[1]),
        _changed(told, autoencoder={**told["autoencoder"], "fingerprint": None}),
        _changed(told, recipe={**told["recipe"], "diffusion": {"num_timesteps": 2**64}}),
        RUN.files()[INFO].replace(b'"step": 7', b'"step": ' + NESTED.encode()),
    ]


def _bomb() -> list[bytes]:
    """A picture of a thousand megapixels, as its head says."""
    head = picture().index(b"IHDR") + 4
    data = picture()[:head] + (2**15).to_bytes(4, "big") * 2 + picture()[head + 8 :]
    return [edit_png(data, [(11, 0, 0)])]


def _states() -> list[bytes]:
    whole = RUN.files()[f"{CHECKPOINT}/{STATE_FILE}"]
    return [
        b".",
        b"cos\nsystem\n.",
        b"\x80\x02Xta",
        pickle.dumps({1: 2})[:-3],
        whole[:-40],
        whole.replace(b"\x80\x02", b"0i"),
    ]


FOUND: dict[str, Callable[[], list[Any]]] = {
    "CelebA's attributes": lambda: [DIGITS.encode() + b"\nSmiling Male\n1.jpg 1 -1\n"],
    "names of CelebA-HQ": lambda: [["².jpg"], [f"{DIGITS}.jpg"]],
    "names of UTKFace": lambda: [[""]],
    "folders of classes": lambda: [[f"00000/{DIGITS}.png", "00001/1.png"], [""], ["."]],
    "metadata.csv": lambda: [
        b"file_name,label\n.,1\n1.png,2\n",
        b"file_name,label\na/.,1\n1.png,2\n",
        b"9\x1f",
    ],
    "a table of any name": lambda: [b"9\x1f"],
    "metadata.jsonl": lambda: [
        NESTED.encode(),
        b'{"file_name": "\\ud800", "Smiling": true}\n',
        b'{"file_name": "1.png", "text": "\\uDC00"}\n',
    ],
    "metadata.parquet": lambda: [parquet_bytes({"file_name": [".", "1.png"], "label": [1, 2]})],
    "StyleGAN's dataset.json": lambda: [b'{"labels": 1}', b'{"labels": 0.5}', b'{"labels": "ab"}'],
    "zip archives": lambda: [_far_entry(), zipped([("", b"")])],
    "parquet of images": lambda: [parquet_bytes({"image": [PICTURE], "label": [0]}, features=NAMED_LABELS)],
    "cards of the hub": lambda: [
        f"---\na: {DEEP}\n---\n".encode(),
        f"---\nconfigs: [{{{LAUGHS[:20]}".encode(),
    ],
    "prompts": lambda: [f"age{DIGITS}", "a1" * 20_000, "no hat, smiling, with a beard or glasses, " * 90],
    "--set": lambda: [
        "a." * 3000 + "b=1",
        f"data.path={DEEP}",
        f"optimizer.lr={DIGITS}",
        "task=!!timestamp x",
        "sampling.sampler={!!int : ddim}",
    ],
    "recipes": lambda: [
        *(b"? [a]\n: 1\n", b"task: !!timestamp x\n", b"1: 2\n", f"task: {DEEP}".encode(), LAUGHS.encode()),
        *(b"task: &t {kind: *t}\n", b"data: 2001-99-99\n", b"task: {1: 2}\ntraining: {}\n"),
    ],
    "pictures": lambda: [PICTURES[3][:121] + b" " + PICTURES[3][122:]],  # a second part where none is
    "recipes on a preset": lambda: [b"smoke: x\n"],
    "dataset.json": _dataset_json,
    "verify of a data set": _dataset_json,
    "index.json of latents": _index_json,
    "verify of latents": _index_json,
    "shards of latents": _shards,
    "parquet of latents": lambda: [
        LATENTS.files()["records-train.parquet"].replace(b"Smiling", b"Sm\xf5ling")
    ],
    "tables of latents": lambda: [tables(captions="x"), tables(captions=NESTED), tables(mean="?")],
    "checkpoint.json": lambda: [*_infos(), DEEP.encode()],
    "verify of a run": _infos,
    "a stranger's checkpoint.json": _infos,
    "a stranger's weights": lambda: [RUN.files()[f"{CHECKPOINT}/{WEIGHTS_FILE}"].replace(b'"F32"', b'"F64"')],
    "training states": _states,
    "recipe.yaml of a run": lambda: [
        b"",
        b"1\n",
        b"ab\n",
        LAUGHS.encode(),
        f"task: {DEEP}".encode(),
        b"a: &a [*a]\n",
    ],
    "history.jsonl of a run": lambda: [
        b'{"step": 1, "date": "", "command": [], "changes": {"training.max_steps.x": [1, 2]}}',
        DEEP.encode(),
    ],
    "metrics.jsonl of a run": lambda: [
        b"null\n",
        b"1\n",
        b'{"loss": 1}\n',
        b'{"step": "x"}\n',
        b"\xa2\n",
        DEEP.encode(),
    ],
    "pictures with settings": _bomb,
}
