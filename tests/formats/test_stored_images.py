from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from facegen.errors import DataError
from facegen.formats import stored_images
from facegen.formats.dataset import Dataset, DatasetSplit
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.images import decode_image, decode_square, encode_png
from facegen.types import LabelSchema

SIZE, ROWS = 8, 300  # three row groups


def pictures() -> torch.Tensor:
    """Some of them equal, next to each other and apart."""
    made = torch.randint(0, 256, (ROWS, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    made[[1, 40, 200]] = made[0].clone()
    return made.byte()


@pytest.fixture(params=["as written here", "compressed", "in a dictionary"])
def stored(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def split(stored: str, tmp_path: Path) -> DatasetSplit:
    writer = DatasetWriter(tmp_path, LabelSchema(), {}, {})
    named = ("id", "caption", "sha256")
    rows = [
        {"image": encode_png(picture), "split": "train", "captions": [], "identity": None}
        | dict.fromkeys(named, str(row))
        for row, picture in enumerate(pictures())
    ]
    writer.write_split("train", rows, ROWS, 170)
    writer.finish(rejects=[], kind="test", image_size=SIZE)
    if stored != "as written here":
        for path in (tmp_path / "data").iterdir():
            compression = "snappy" if stored == "compressed" else "none"
            pq.write_table(pq.read_table(path), path, row_group_size=128, compression=compression)
    return Dataset.open(tmp_path).split("train")


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("room", [1 << 30, 100 * 3 * SIZE**2, 1])
def test_images_at_any_rows_are_those_that_were_written(
    split: DatasetSplit, keep: bool, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_images, "KEPT_BYTES", room)
    expected, rng = pictures(), np.random.default_rng(0)
    for _ in range(30):
        rows = rng.integers(0, ROWS, 16)  # the same one twice, too
        assert torch.equal(split.images(rows, keep=keep), expected[rows])
    assert torch.equal(split.images(range(ROWS), keep=keep), expected)
    assert torch.equal(split.images([]), expected[:0])


def test_what_is_asked_for_is_decoded_and_nothing_else(
    split: DatasetSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    decode = stored_images.decode_square
    monkeypatch.setattr(
        stored_images, "decode_square", lambda png, size: decoded.append(png) or decode(png, size)
    )
    split.images([5, 290])
    assert len(decoded) == 2
    split.images([5, 290], keep=True)
    split.images([5, 290], keep=True)
    assert len(decoded) == 4


def test_pictures_that_stand_as_they_are_are_read_once_a_group(
    stored: str, split: DatasetSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    read_group = stored_images.StoredImages._read
    monkeypatch.setattr(
        stored_images.StoredImages, "_read", lambda self, group: read.append(group) or read_group(self, group)
    )
    for _ in range(3):
        split.images([5, 150, 290])
    once_more_each_time = {
        "as written here": 0,
        "compressed": 3,
        "in a dictionary": 1,
    }  # one has equal pictures
    assert len(read) == 3 + 2 * once_more_each_time[stored]


def test_no_more_is_kept_than_there_is_room_for(split: DatasetSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_images, "KEPT_BYTES", 10 * 3 * SIZE**2)
    split.images(range(ROWS), keep=True)
    assert split._images._num_kept == len(split._images._kept) == 10


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (Image.new("RGB", (SIZE, SIZE), "red"), None),
        (Image.new("L", (SIZE, SIZE), 7), None),
        (Image.new("RGBA", (SIZE, SIZE), (9, 9, 9, 0)), None),  # seen through: over white
        (Image.new("RGB", (1, 1)), "1x1 pixels, not 8x8"),
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n and no more", "cannot be decoded|not an image"),
    ],
)
def test_what_others_stored_is_decoded_as_any_image_is_or_named(
    picture: Image.Image | bytes, told: str | None
) -> None:
    data = picture
    if isinstance(picture, Image.Image):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        data = buffer.getvalue()
    assert isinstance(data, bytes)
    if told is not None:
        with pytest.raises(DataError, match=told):
            decode_square(data, SIZE)
    else:
        assert np.array_equal(decode_square(data, SIZE).transpose(1, 2, 0), np.asarray(decode_image(data)))
