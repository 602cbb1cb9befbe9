"""Latents follow their data set: encoding again makes anew what is damaged or has other images alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.changing_data import OPTIONS, Face, assert_same_latents, faces, held_by, write_faces
from support.tiny_image_encoder import save_tiny_clip
from support.tiny_text_encoder import save_tiny_text_encoder, tiny_text_encoder  # noqa: F401

from facegen.conditioners.image_features import ImageEncoder
from facegen.conditioners.text import TextEncoder
from facegen.encoding import shards
from facegen.encoding.encode import EncodeSummary, encode
from facegen.errors import MissingModelError, UsageError
from facegen.formats.dataset import Dataset
from facegen.formats.files import sha256_of
from facegen.formats.images import encode_png
from facegen.formats.latents import LatentStore
from facegen.preparation.prepare import PrepareOptions, prepare
from facegen.progress import SilentProgress

OLD = faces(*range(8))


class Place:
    """A folder with data sets, and latents that are encoded of one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.progress, self.count = folder, folder / "out", SilentProgress(), 0

    def data(self, train: list[Face], validation: list[Face] | None = None) -> Dataset:
        self.count += 1
        held = {"train": train, "validation": validation or []}
        return write_faces(self.folder / f"data-{self.count}", **held)

    def encode(self, data: Dataset, out: Path | None = None, **changes: Any) -> EncodeSummary:
        options = replace(OPTIONS, **changes)
        return encode(data.folder, "identity", out or self.out, options, self.progress)

    def assert_as_fresh(self, data: Dataset, **changes: Any) -> None:
        """The latents are what a first encoding of `data` makes, and encoding once more does nothing."""
        self.encode(data, self.folder / f"fresh-{self.count}", **changes)
        assert_same_latents(self.out, self.folder / f"fresh-{self.count}")
        before = states(self.out)
        assert self.encode(data, **changes).images_encoded == 0
        assert self.progress.said[-1] == f"'{self.out}' already holds these latents; nothing to do."
        assert states(self.out) == before


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def states(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Content, inode and time of change of every file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: (sha256_of(path), path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def shards_kept(before: dict[str, Any], folder: Path) -> list[str]:
    now = states(folder)
    return sorted(name for name in before if name.startswith("latents-") and now.get(name) == before[name])


def shard(split: str, number: int) -> str:
    return f"latents-{split}-{number:05d}.safetensors"


def damage(path: Path, how: str = "flip") -> None:
    if how == "remove":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content if how == "flip" else content[:-5])


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_shard_is_made_anew_alone(place: Place, how: str) -> None:
    data = place.data(OLD, faces(20, 21))
    place.encode(data)
    before, fingerprint = states(place.out), LatentStore.open(place.out).index.fingerprint
    damage(place.out / shard("train", 1), how)
    assert place.encode(data).images_encoded == 3
    assert place.progress.said[-1].startswith("1 of 4 shards made anew (1 damaged), 3 kept")
    after = states(place.out)
    assert {name: state[0] for name, state in after.items()} == {n: state[0] for n, state in before.items()}
    assert shards_kept(before, place.out) == [shard("train", 0), shard("train", 2), shard("validation", 0)]
    assert LatentStore.open(place.out).index.fingerprint == fingerprint  # a run may be resumed on them
    place.assert_as_fresh(data)


def test_nothing_is_taken_over_from_a_damaged_shard(place: Place) -> None:
    place.encode(place.data(OLD))
    damage(place.out / shard("train", 1))
    data = place.data([*OLD[:3], *OLD[4:]])
    assert place.encode(data).images_encoded == 2
    place.assert_as_fresh(data)


@pytest.mark.parametrize("name", ["records-train.parquet", "images-train.safetensors"])
def test_any_other_damaged_file_is_made_anew(place: Place, name: str) -> None:
    data = place.data(OLD, faces(20, 21))
    place.encode(data)
    damage(place.out / name)
    place.encode(data)
    place.assert_as_fresh(data)


def test_added_images_go_into_new_shards_wherever_they_stand_in_the_data_set(place: Place) -> None:
    place.encode(place.data(OLD, faces(20, 21)))
    before = states(place.out)
    data = place.data([*faces(10), *OLD[:5], *faces(11), *OLD[5:], *faces(12, 13)], faces(20, 21, 22))
    assert place.encode(data).images_encoded == 5
    assert place.progress.said[-1].startswith("3 of 7 shards made anew (3 with new images), 4 kept")
    assert shards_kept(before, place.out) == [*(shard("train", n) for n in range(3)), shard("validation", 0)]
    place.assert_as_fresh(data)


def test_one_photo_more_in_the_folder_that_is_prepared(place: Place, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(9):
        pixels = torch.randint(256, (3, 24, 24), generator=torch.Generator().manual_seed(number)).byte()
        (photos / f"{number}.png").write_bytes(encode_png(pixels))

    def prepared(name: str, splits: tuple[float, float, float]) -> Dataset:
        options = PrepareOptions(size=16, splits=splits, workers=1)
        prepare("image-folder", photos, tmp_path / name, options)
        return Dataset.open(tmp_path / name)

    only_train = (1.0, 0.0, 0.0)
    place.encode(prepared("old", only_train))
    before = states(place.out)
    (photos / "4-more.png").write_bytes(encode_png(torch.zeros(3, 24, 24, dtype=torch.uint8)))
    assert place.encode(prepared("new", only_train)).images_encoded == 1
    assert shards_kept(before, place.out) == [shard("train", n) for n in range(3)]
    place.assert_as_fresh(Dataset.open(tmp_path / "new"))
    split = prepared("split", (0.5, 0.3, 0.2))
    assert place.encode(split).images_encoded == 0  # moved between splits, and copied
    place.count += 1
    place.assert_as_fresh(split)


def test_other_words_and_labels_leave_every_shard_as_it_is(place: Place) -> None:
    place.encode(place.data(OLD))
    before = states(place.out)
    data = place.data([replace(face, smiling=None, caption="Somebody", id=f"new {face.id}") for face in OLD])
    assert place.encode(data).images_encoded == 0
    told = "0 of 3 shards made anew, 3 kept; labels and captions are the data set's."
    assert place.progress.said[-1] == told
    assert len(shards_kept(before, place.out)) == 3
    place.assert_as_fresh(data)


def test_removed_and_changed_images_leave_no_trace_and_cost_no_others(place: Place, monkeypatch) -> None:
    place.encode(place.data(OLD, faces(20, 21)))
    encoded, whole = [], shards.moments
    monkeypatch.setattr(shards, "moments", lambda job, batch: encoded.append(batch) or whole(job, batch))
    before = states(place.out)
    data = place.data([*OLD[:1], *OLD[2:7], Face("face-7", 77)])  # and validation is gone
    assert place.encode(data).images_encoded == len(torch.cat(encoded)) == 1
    assert place.progress.said[-1].startswith(
        "2 of 3 shards made anew (1 regrouped, 1 with new images), 1 kept"
    )
    assert shards_kept(before, place.out) == [shard("train", 1)]
    place.assert_as_fresh(data)


def test_the_order_of_the_data_set_is_that_of_the_latents(place: Place) -> None:
    place.encode(place.data(OLD))
    before = states(place.out)
    data = place.data(OLD[::-1])
    assert place.encode(data).images_encoded == 0
    assert len(shards_kept(before, place.out)) == 3
    place.assert_as_fresh(data)
    assert json.loads((place.out / "index.json").read_text())["format_version"] == 2


def test_the_same_picture_twice_is_two_rows(place: Place) -> None:
    place.encode(place.data([*OLD, Face("again", 0)]))
    data = place.data([Face("once more", 0), *OLD[1:], Face("again", 0), Face("thrice", 0)])
    place.encode(data)
    place.assert_as_fresh(data)


def test_latents_of_none_of_these_faces_are_not_replaced(place: Place) -> None:
    place.encode(place.data(OLD))
    before = states(place.out)
    with pytest.raises(UsageError, match=r"dataset \w{12} there, \w{12} now[\s\S]*--afresh"):
        place.encode(place.data(faces(50, 51)))
    assert states(place.out) == before


def test_a_limit_is_a_setting_that_is_followed(place: Place) -> None:
    place.encode(place.data(OLD), limit=5)
    data = place.data([*faces(10), *OLD])
    assert place.encode(data, limit=5).images_encoded == 1
    place.assert_as_fresh(data, limit=5)


def without_images(folder: Path) -> None:
    """As latents were before they said what they are made of."""
    index = json.loads((folder / "index.json").read_text())
    for file in index.pop("images").values():
        (folder / file["name"]).unlink()
    del index["transform"]["plan"]["limit"]
    (folder / "index.json").write_text(json.dumps(index))


def test_latents_that_do_not_say_what_they_are_of_are_mended_and_follow_nothing(place: Place) -> None:
    data = place.data(OLD)
    place.encode(data, limit=7)
    fingerprint = LatentStore.open(place.out).index.fingerprint
    without_images(place.out)
    assert place.encode(data, limit=7).images_encoded == 0
    for other, limit in ((data, None), (place.data([*OLD, *faces(10)]), 7)):
        with pytest.raises(UsageError, match="encoded differently"):
            place.encode(other, limit=limit)
    damage(place.out / shard("train", 1))
    assert place.encode(data, limit=7).images_encoded == 3
    assert LatentStore.open(place.out).index.fingerprint == fingerprint
    place.assert_as_fresh(data, limit=7)


@pytest.mark.parametrize("first", [1, 2])
def test_renewing_killed_at_any_moment_leaves_whole_latents_and_goes_on(place: Place, first: int) -> None:
    old, new = place.data(OLD[:5]), place.data([*OLD[1:5], *faces(10)])
    place.encode(old)
    place.encode(new, place.folder / "fresh")
    module = [sys.executable, "-W", "ignore", "-m", "support.killed_encodes"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    command = [*module, str(place.out), str(new.folder), str(first)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    kills = [json.loads(line) for line in result.stdout.splitlines()]
    assert not kills[-1]["killed"]
    assert len(kills) > 7  # the write steps were found
    found = [kill["index"] for kill in kills]
    change = found.index(new.manifest.fingerprint)
    assert found[:change] == [old.manifest.fingerprint] * change
    assert found[change:] == [new.manifest.fingerprint] * (len(found) - change)
    assert all(kill["contents"] == kills[-1]["contents"] for kill in kills)
    assert_same_latents(place.folder / "renewed", place.folder / "fresh")


def test_a_renewal_that_was_stopped_leaves_nothing_wrong_when_the_data_set_changes_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.encode(place.data(OLD))
    more = place.data([*OLD, *faces(10, 11)])
    with monkeypatch.context() as patch:
        patch.setattr("facegen.encoding.encode.write_index", interrupt)
        with pytest.raises(KeyboardInterrupt):
            place.encode(more)
    assert (place.out / "encoding.json").is_file()
    data = place.data([*faces(12), *OLD])
    place.encode(data)
    place.assert_as_fresh(data)


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The captions that encoders are asked for from here on."""
    asked, whole = list[str](), TextEncoder.embed

    def embed(self: TextEncoder, captions: list[str], *more: Any) -> Any:
        asked.extend(captions)
        return whole(self, captions, *more)

    monkeypatch.setattr(TextEncoder, "embed", embed)
    return asked


def texts(folder: Path) -> dict[str, torch.Tensor]:
    table = LatentStore.open(folder, verify=True).text_embeddings
    assert table is not None
    return {c: tokens[mask] for c, tokens, mask in zip(table.captions, table.tokens, table.mask, strict=True)}


def test_only_new_captions_are_embedded(place: Place, tiny_text_encoder, monkeypatch) -> None:  # noqa: F811
    name = str(tiny_text_encoder)
    long = replace(OLD[0], caption="a face with a very long name")
    place.encode(place.data([long, *OLD[1:]]), text_encoder=name)
    data = place.data([*OLD[1:], Face("n", 30, caption="a hat"), Face("m", 31, caption="a nose")])
    asked = embedded(monkeypatch)
    place.encode(data)  # the table that stands is wanted without being named again
    assert sorted(asked) == ["", "a hat", "a nose"]  # the empty one shows that it is the same encoder
    place.encode(data, place.folder / "fresh", text_encoder=name)
    here, there = texts(place.out), texts(place.folder / "fresh")
    assert list(here) == list(there)
    for caption, tokens in there.items():
        torch.testing.assert_close(here[caption], tokens, atol=2e-3, rtol=2e-3)
    table, fresh = (LatentStore.open(place.folder / n).text_embeddings for n in ("out", "fresh"))
    assert table is not None
    assert fresh is not None
    assert table.tokens.shape == fresh.tokens.shape


def test_other_weights_under_the_encoders_name_embed_everything(place: Place, tmp_path, monkeypatch) -> None:
    name = str(save_tiny_text_encoder(tmp_path / "texts"))
    place.encode(place.data(OLD), text_encoder=name)
    weights = tmp_path / "texts" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-4096:] = random.Random(0).randbytes(4096)
    content[-4096::2] = bytes(2048)  # finite
    weights.write_bytes(content)
    asked = embedded(monkeypatch)
    place.encode(place.data([*OLD, Face("n", 30, caption="a hat")]), text_encoder=name)
    assert sorted(asked) == ["", "", "a face", "a hat"]


def test_only_new_images_are_seen_by_the_image_encoder(place: Place, tmp_path, monkeypatch) -> None:
    name = str(save_tiny_clip(tmp_path / "clip"))
    place.encode(place.data(OLD, faces(20, 21)), image_encoder=name)
    seen, whole = [], ImageEncoder.__call__

    def counted(self: ImageEncoder, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(ImageEncoder, "__call__", counted)
    data = place.data([*faces(10), *OLD[::-1]], faces(21))
    place.encode(data)
    assert seen == [1]
    again = place.data([*faces(11, 10), *OLD], faces(21, 20))
    place.encode(again)  # from a table whose rows are not those of the shards
    assert seen == [1, 1, 1]  # one of each split, as face 20 was not there in between
    place.encode(again, place.folder / "fresh", image_encoder=name)
    table, fresh = (LatentStore.open(place.folder / n, verify=True).image_features for n in ("out", "fresh"))
    assert table is not None
    assert fresh is not None
    assert table.ids == fresh.ids
    torch.testing.assert_close(table.features, fresh.features, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(torch.tensor(table.mean), torch.tensor(fresh.mean), atol=1e-3, rtol=1e-3)


def test_a_table_whose_encoder_is_gone_is_named(place: Place, tmp_path: Path) -> None:
    name = save_tiny_text_encoder(tmp_path / "texts")
    place.encode(place.data(OLD), text_encoder=str(name))
    before = held_by(place.out)
    name.rename(tmp_path / "elsewhere")
    with pytest.raises(MissingModelError, match="texts"):
        place.encode(place.data([*OLD, Face("n", 30, caption="a hat")]))
    assert held_by(place.out)["train"].frame.equals(before["train"].frame)


EDITS = st.sampled_from(["add", "remove", "change", "relabel", "move", "damage", "shuffle"])


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    edits=st.lists(st.lists(EDITS, min_size=1, max_size=4), min_size=1, max_size=2),
)
def test_any_edits_give_what_a_fresh_encoding_gives(seed: int, edits: list[list[str]]) -> None:
    draw = random.Random(seed)
    splits = {"train": faces(*range(draw.randint(1, 8))), "validation": faces(20, 21)}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        place.encode(place.data(**splits))
        for several in edits:
            before = {face.seed for held in splits.values() for face in held}
            for edit in several:
                edited(edit, splits, draw, place.out)
            data = place.data(**splits)
            if before.isdisjoint(face.seed for held in splits.values() for face in held):
                with pytest.raises(UsageError, match="dataset"):
                    place.encode(data)
                return
            place.encode(data)
            place.assert_as_fresh(data)


def edited(edit: str, splits: dict[str, list[Face]], draw: random.Random, out: Path) -> None:
    """Do one edit to the records, or damage a file; the training split keeps a face."""
    held = splits[draw.choice(["train", "train", "validation"])]
    place = draw.randrange(len(held)) if held else 0
    if edit == "add":
        new = draw.randrange(15, 40)  # sometimes a picture that is there already
        held.insert(place, Face(f"added-{draw.random()}", new))
    elif edit == "shuffle":
        draw.shuffle(held)
    elif edit == "damage":
        there = sorted(path for path in out.iterdir() if path.is_file() and path.name != "index.json")
        if there:
            damage(draw.choice(there), draw.choice(["flip", "cut", "remove"]))
    elif held and edit == "change":
        held[place] = replace(held[place], seed=draw.randrange(40, 99))
    elif held and edit == "relabel":
        held[place] = replace(held[place], smiling=draw.choice([True, False, None]), caption="other words")
    elif held is splits["validation"] or len(held) > 1:
        if held and edit == "remove":
            held.pop(place)
        elif held and edit == "move":
            other = splits["train" if held is splits["validation"] else "validation"]
            other.append(held.pop(place))
