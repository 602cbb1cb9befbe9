"""Readers of what facegen wrote, or a stranger did: data sets, latents, checkpoints, runs, pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from support.fuzzed import mutations
from support.fuzzed.mutations import DEEP, LAUGHS
from support.fuzzed.reader import Read, Reader, from_file
from support.generator_parts import save_run
from support.tiny_dataset import write_dataset
from support.training_parts import write_latents

from facegen.formats.checkpoint import STATE_FILE, load_checkpoint
from facegen.formats.checkpoint_head import INFO_FILE
from facegen.formats.dataset import MANIFEST_NAME, Dataset
from facegen.formats.files import sha256_of
from facegen.formats.history import RunEvent
from facegen.formats.images import encode_png
from facegen.formats.latents import INDEX_FILE, LatentStore
from facegen.formats.plain import plain
from facegen.formats.run import RECIPE_FILE, RunDirectory
from facegen.models.loading import load
from facegen.sampling.png_settings import read_image_settings
from facegen.verification.verify import verify

SETTINGS = {
    "format_version": 3,
    "facegen_version": "0.1.0",
    "torch_version": "2.10.0",
    "run": "runs/celeba",
    "model_sha256": "0" * 64,
    "step": 7,
    "weights": "ema",
    "prompt": "a smiling woman",
    "class": None,
    "labels": {"Smiling": 1.0},
    "like": [{"file": "me.jpg", "path": None, "sha256": "1" * 64}],
    "edit": {
        "photo": {"file": "a", "sha256": "b"},
        "told": {},
        "asked": {},
        "wanted": {},
        "strengths": [0.5, 1],
    },
    "sampler": {"kind": "ddim", "eta": 0.0},
    "steps": 20,
    "guidance_scale": 2.0,
    "guidance_interval": [0.0, 1.0],
    "seed": 3,
    "count": 2,
    "device": "cpu",
    "shows": "image",
}
EVENTS = [
    RunEvent(3, "2026-01-01T00:00:00", ["facegen", "train"], {"training.max_steps": (10, 20)}),
    RunEvent(5, "2026-01-02T00:00:00", [], {"optimizer.lr": (1e-3, 1e-4)}, "last-rate"),
    RunEvent(0, "2026-01-02T00:00:00", [], {}, None, {"run": "a", "step": 3}),
]


class Template:
    """A folder that facegen wrote, and its files; made once a process, in a folder of its own."""

    def __init__(self, write: Callable[[Path], Path]) -> None:
        self._write = write
        self._files: dict[str, bytes] = {}

    def files(self) -> dict[str, bytes]:
        if not self._files:
            from tempfile import TemporaryDirectory

            with TemporaryDirectory() as place:
                folder = self._write(Path(place) / "made")
                found = (path for path in sorted(folder.rglob("*")) if path.is_file())
                self._files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
        return self._files

    def copied(self, folder: Path) -> Path:
        for name, data in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def json(self, name: str) -> Any:
        return json.loads(self.files()[name])


def _dataset(folder: Path) -> Path:
    return write_dataset(folder, {"train": 3, "validation": 1}, size=8).folder


def _latents(folder: Path) -> Path:
    return write_latents(folder, {"train": 4, "validation": 2})


def _run(folder: Path) -> Path:
    run = save_run(folder)
    recipe = load_checkpoint(run).info.recipe
    (run / RECIPE_FILE).write_text(json.dumps(recipe))
    state = {"step": 7, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "groups": [{"lr": 1e-3}]}}
    torch.save(state, run / CHECKPOINT / STATE_FILE)
    info = json.loads((run / CHECKPOINT / INFO_FILE).read_text())
    info["files"][STATE_FILE] = sha256_of(run / CHECKPOINT / STATE_FILE)
    del info["own_sha256"]
    (run / CHECKPOINT / INFO_FILE).write_text(json.dumps(info))
    return run


CHECKPOINT = "checkpoints/step-00000007"
WEIGHTS_FILE = "ema.safetensors"
SHARD = "latents-train-00000.safetensors"
DATASET, LATENTS, RUN = Template(_dataset), Template(_latents), Template(_run)


def _opened(template: Template, name: str, use: Callable[[Path], object]) -> Any:
    """A copy of a template whose file `name` is the input."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Read]:
        template.copied(folder)

        def read(data: bytes) -> object:
            (folder / name).write_bytes(data)
            return use(folder)

        yield read

    return opened


def _use_dataset(folder: Path) -> None:
    dataset = Dataset.open(folder)
    for name in dataset.splits:
        split = dataset.split(name)
        assert len(split.frame) == len(split)
        split.images([0])
    dataset.verify()


def _use_latents(folder: Path) -> None:
    store = LatentStore.open(folder)
    store.index.to_json()
    assert store.index.fingerprint
    for name in store.index.shards:
        split = store.split(name)
        assert len(split.frame) >= 0
        if len(split):
            split.gather(torch.tensor([0]))
    assert store.text_embeddings is None or store.text_embeddings.captions is not None
    assert store.image_features is None or store.image_features.ids is not None


@contextmanager
def _latent_part(folder: Path, *, name: str) -> Iterator[Read]:
    """Latents whose file `name` is the input, and whose index was made to agree with it."""
    LATENTS.copied(folder)
    text = LATENTS.files()[INDEX_FILE].decode()
    before = LATENTS.files()[name]

    def read(data: bytes) -> None:
        (folder / name).write_bytes(data)
        told = text.replace(sha256_of(before), sha256_of(data))
        told = told.replace(f'"size_bytes": {len(before)},', f'"size_bytes": {len(data)},')
        (folder / INDEX_FILE).write_text(told)
        _use_latents(folder)

    yield read


def tables(**changes: str) -> bytes:
    """Texts and features beside latents, as one file of tensors, with these words in its head."""
    from safetensors.torch import save

    tensors = {"tokens": torch.zeros(2, 3, 4).half(), "mask": torch.ones(2, 3).bool()}
    told = {"captions": '["a", "b"]', "encoder": "e", "fingerprint": "f", "mean": "[0, 0]", "std": "[1, 1]"}
    return save({**tensors, "features": torch.zeros(6, 2)}, {**told, **changes})


@contextmanager
def _latent_tables(folder: Path) -> Iterator[Read]:
    LATENTS.copied(folder)
    index = LATENTS.json(INDEX_FILE)

    def read(data: bytes) -> None:
        (folder / "table").write_bytes(data)
        stored = {"name": "table", "count": 2, "size_bytes": len(data), "sha256": sha256_of(data)}
        texts = {"text_encoder": "e", "text_embeddings": stored}
        told = {**index, **texts, "image_encoder": "e", "image_features": stored}
        (folder / INDEX_FILE).write_text(json.dumps(told))
        _use_latents(folder)

    yield read


def _use_checkpoint(folder: Path) -> None:
    checkpoint = load_checkpoint(folder)
    assert checkpoint.info.task is not None
    assert checkpoint.info.ranking is None or checkpoint.info.ranking.value is not None
    checkpoint.verify()


@contextmanager
def _checkpoint_part(folder: Path, *, name: str, use: Callable[[Path], object]) -> Iterator[Read]:
    """A checkpoint whose file `name` is the input, with its right checksum."""
    RUN.copied(folder)
    text = RUN.files()[f"{CHECKPOINT}/{INFO_FILE}"].decode()
    before = sha256_of(RUN.files()[f"{CHECKPOINT}/{name}"])

    def read(data: bytes) -> object:
        (folder / CHECKPOINT / name).write_bytes(data)
        (folder / CHECKPOINT / INFO_FILE).write_text(text.replace(before, sha256_of(data)))
        return use(folder)

    yield read


def _use_run(folder: Path) -> None:
    run = RunDirectory(folder)
    run.metrics()
    run.truncate_metrics(3)
    run.history()
    run.recipe()
    run.first_recipe()


@cache
def picture() -> bytes:
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    return encode_png(image, {"facegen": json.dumps(SETTINGS)})


def _with_settings(text: bytes) -> bytes:
    """A PNG that carries these words as its settings."""
    entry = mutations.png_part((b"iTXt", b"facegen\0\0\0\0\0" + text))
    end = picture().index(b"iTXt") - 4
    return picture()[:end] + entry + picture()[picture().index(b"IDAT") - 4 :]


def _torch_files() -> list[bytes]:
    buffer = io.BytesIO()
    torch.save({"step": 7, "a": torch.zeros(2)}, buffer, _use_new_zipfile_serialization=False)
    return [RUN.files()[f"{CHECKPOINT}/{STATE_FILE}"], buffer.getvalue()]


def _lines() -> st.SearchStrategy[bytes]:
    events = [plain(event) for event in EVENTS]
    return st.lists(mutations.json_files(events), max_size=3).map(b"\n".join)


def _load(folder: Path) -> None:
    load(folder, "cpu")


def _verified(folder: Path) -> None:
    verify(folder)


def _latent_reader(what: str, name: str, inputs: Callable[[list[bytes]], Any]) -> Reader:
    made = st.deferred(lambda: inputs([LATENTS.files()[name]]))
    return Reader(what, made, partial(_latent_part, name=name))


def _checkpoint_reader(what: str, name: str, inputs: Any, use: Callable[[Path], object]) -> Reader:
    return Reader(what, st.deferred(inputs), partial(_checkpoint_part, name=name, use=use))


INFO = f"{CHECKPOINT}/{INFO_FILE}"
WEIGHTS = st.deferred(lambda: mutations.safetensors_files([RUN.files()[f"{CHECKPOINT}/{WEIGHTS_FILE}"]]))
MANIFESTS = st.deferred(lambda: mutations.json_files([DATASET.json(MANIFEST_NAME)]))
INFOS = st.deferred(lambda: mutations.json_files([RUN.json(INFO)]))
INDICES = st.deferred(lambda: mutations.json_files([LATENTS.json(INDEX_FILE)]))
ROWS = "data/train-00000-of-00001.parquet"
RECIPES = st.deferred(
    lambda: st.one_of(
        mutations.json_files([RUN.json(RECIPE_FILE)]),
        mutations.text_files([RUN.files()[RECIPE_FILE].decode(), LAUGHS, f"task: {DEEP}"]),
    )
)

READERS = [
    Reader("dataset.json", MANIFESTS, _opened(DATASET, MANIFEST_NAME, _use_dataset)),
    Reader(
        "parquet of a data set",
        st.deferred(lambda: mutations.files([DATASET.files()[ROWS]])),
        _opened(DATASET, ROWS, _use_dataset),
    ),
    Reader("index.json of latents", INDICES, _opened(LATENTS, INDEX_FILE, _use_latents)),
    _latent_reader("shards of latents", SHARD, mutations.safetensors_files),
    _latent_reader("parquet of latents", "records-train.parquet", mutations.files),
    Reader("tables of latents", st.deferred(lambda: mutations.safetensors_files([tables()])), _latent_tables),
    Reader("checkpoint.json", INFOS, _opened(RUN, INFO, _use_checkpoint)),
    Reader("a stranger's checkpoint.json", INFOS, _opened(RUN, INFO, _load)),
    _checkpoint_reader("a stranger's weights", WEIGHTS_FILE, lambda: WEIGHTS, _load),
    _checkpoint_reader(
        "training states",
        STATE_FILE,
        lambda: mutations.files(_torch_files()),
        lambda folder: load_checkpoint(folder).training_state(),
    ),
    Reader("recipe.yaml of a run", RECIPES, _opened(RUN, RECIPE_FILE, _use_run)),
    Reader("history.jsonl of a run", st.deferred(_lines), _opened(RUN, "history.jsonl", _use_run)),
    Reader("metrics.jsonl of a run", st.deferred(_lines), _opened(RUN, "metrics.jsonl", _use_run)),
    Reader(
        "settings of pictures",
        mutations.json_files([SETTINGS]).map(_with_settings),
        from_file("picture.png", read_image_settings),
    ),
    Reader(
        "pictures with settings",
        st.deferred(lambda: mutations.png_files([picture()])),
        from_file("picture.png", read_image_settings),
    ),
    Reader("verify of a run", INFOS, _opened(RUN, INFO, _verified)),
    Reader("verify of latents", INDICES, _opened(LATENTS, INDEX_FILE, _verified)),
    Reader("verify of a data set", MANIFESTS, _opened(DATASET, MANIFEST_NAME, _verified)),
]
