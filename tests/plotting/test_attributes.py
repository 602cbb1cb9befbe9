"""`facegen plot attributes`: counts and phi against pandas' own cross-tables, files, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.figure_parts import numbers_of
from support.tiny_dataset import write_autoencoder, write_dataset

from facegen.encoding.encode import EncodeOptions, encode
from facegen.errors import DataError
from facegen.formats.dataset import Dataset
from facegen.formats.dataset_writer import DatasetWriter
from facegen.formats.files import sha256_of
from facegen.plotting.attributes import label_numbers, phi_matrix, plot_attributes
from facegen.progress import SilentProgress
from facegen.types import LabelSchema

NAMES = ("Smiling", "Male", "Eyeglasses", "Never")


def labelled(rows: int = 200) -> Any:
    """Smiling and Male go together, Eyeglasses with neither and is unknown at times, Never is never."""
    draws = np.random.default_rng(0)
    smiling = draws.random(rows) < 0.3
    male = np.where(draws.random(rows) < 0.8, smiling, ~smiling)
    glasses = pd.array((draws.random(rows) < 0.5).astype(int), dtype="Int8")
    frame = pd.DataFrame({"Smiling": smiling, "Male": male, "Eyeglasses": 0, "Never": 0}, dtype="Int8")
    glasses[::7] = pd.NA
    frame["Eyeglasses"] = glasses
    frame["race"] = draws.choice(["White", "Black"], rows)
    frame.loc[:4, "race"] = None
    frame["age"] = draws.integers(0, 90, rows)
    return frame


def phi_of_crosstab(frame: pd.DataFrame, a: str, b: str) -> float:
    (n00, n01), (n10, n11) = pd.crosstab(frame[a], frame[b]).to_numpy()
    return (n11 * n00 - n10 * n01) / np.sqrt(float((n10 + n11) * (n00 + n01) * (n01 + n11) * (n00 + n10)))


def test_phi_is_that_of_the_two_by_two_table_of_known_images():
    frame = labelled()
    phi = phi_matrix(frame, list(NAMES))
    assert phi is not None
    values: Any = phi
    for a, b in (("Smiling", "Male"), ("Smiling", "Eyeglasses"), ("Male", "Eyeglasses")):
        assert values.loc[a, b] == pytest.approx(phi_of_crosstab(frame, a, b), abs=1e-12)
        assert values.loc[b, a] == values.loc[a, b]
    assert np.isnan(values.loc["Never", "Smiling"])


def test_related_attributes_stand_together():
    base = np.random.default_rng(1).random((500, 2)) < 0.5
    frame = pd.DataFrame({"a": base[:, 0], "x": base[:, 1], "b": base[:, 0], "y": base[:, 1]}, dtype="Int8")
    phi = phi_matrix(frame, ["a", "x", "b", "y"])
    assert phi is not None
    assert {frozenset(phi.columns[:2]), frozenset(phi.columns[2:])} == {frozenset("ab"), frozenset("xy")}


def test_counts_are_those_of_the_frame_commonest_first():
    frame = labelled()
    numbers = label_numbers(frame, LabelSchema(NAMES, {"race": ("Black", "White", "Asian")}))
    balance: Any = numbers.balance.set_index("attribute")
    for name in NAMES:
        assert balance.loc[name].tolist() == [
            int((frame[name] == 1).sum()),
            int((frame[name] == 0).sum()),
            int(frame[name].isna().sum()),
        ]
    known = balance["yes"] / (balance["yes"] + balance["no"])
    assert known.is_monotonic_decreasing
    white, black = ((frame["race"] == name).sum() for name in ("White", "Black"))
    assert numbers.classes["race"] == {"Black": black, "White": white, "Asian": 0, "unknown": 5}
    assert list(numbers.classes["race"]) == ["Black", "White", "Asian", "unknown"]  # the data set's order
    ages = numbers.histograms["age"]
    assert sum(ages.counts) == len(frame)
    first = frame["age"].between(ages.edges[0], ages.edges[1], inclusive="left").sum()
    assert ages.counts[0] == first


def test_a_data_set_and_its_latents_give_the_same_numbers(tmp_path: Path):
    data = write_dataset(tmp_path / "data")
    autoencoder = str(write_autoencoder(tmp_path / "ae"))
    encode(data.folder, autoencoder, tmp_path / "latents", EncodeOptions(device="cpu"), SilentProgress())
    tables = []
    for source in ("data", "latents"):
        summary = plot_attributes(tmp_path / source, tmp_path / f"{source}.svg", csv=True)
        tables.append(numbers_of(summary))
        assert summary.facts["Images"] == 11
    table, of_latents = tables
    assert table.equals(of_latents)
    smiling = table[table["name"] == "Smiling"].set_index("value")["images"]
    assert smiling.to_dict() == {"yes": 4, "no": 4, "unknown": 3}
    assert {"balance", "class", "histogram"} == set(table["panel"])  # one attribute goes with no other


def test_the_split_is_the_one_asked_for(tmp_path: Path):
    data = write_dataset(tmp_path / "data")
    summary = plot_attributes(data.folder, tmp_path / "out.png", split="validation")
    assert summary.facts["Images"] == 5
    with pytest.raises(DataError, match="Did you mean 'validation'"):
        plot_attributes(data.folder, tmp_path / "other.png", split="validaton")


def test_many_attributes_fit_one_figure_and_their_phi_is_in_the_csv(tmp_path: Path, avatars_dataset: Dataset):
    summary = plot_attributes(avatars_dataset.folder, tmp_path / "avatars.png", csv=True)
    table = numbers_of(summary)
    count = len(avatars_dataset.manifest.labels.attributes)
    assert (table["panel"] == "phi").sum() == count * (count - 1) / 2
    assert summary.path.read_bytes().startswith(b"\x89PNG")


def test_data_without_labels_are_refused(tmp_path: Path):
    writer = DatasetWriter(tmp_path / "bare", LabelSchema(), {}, {"size": 16})
    png = next(iter(write_dataset(tmp_path / "data").split("train").rows()))["image"]["bytes"]
    row = {"id": "a", "image": png, "split": "train", "caption": None, "captions": [], "identity": None}
    writer.write_split("train", [{**row, "sha256": sha256_of(png)}], 1, rows_per_file=10)
    writer.finish(rejects=[], kind="image-folder", image_size=16)
    with pytest.raises(DataError, match=r"no labels.*\n.*facegen label"):
        plot_attributes(tmp_path / "bare", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="neither a prepared data set"):
        plot_attributes(tmp_path, tmp_path / "out.png")
