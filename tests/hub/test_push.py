"""A run or a data set becomes a repository: what goes, what stays, and what is refused before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.hub_server import HubServer
from support.report_parts import write_evaluations, write_run
from support.tiny_dataset import write_dataset
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import DataError, MissingModelError, StorageError, UsageError
from facegen.formats.checkpoint import load_checkpoint
from facegen.formats.dataset import Dataset
from facegen.formats.files import write_json
from facegen.formats.history import RunEvent, write_history
from facegen.hub.options import PushOptions
from facegen.hub.push import package_of, push
from facegen.report.licences import named_licence

REPO = "me/faces"
MODEL = f"models/{REPO}"
OPEN = PushOptions(licence="cc-by-4.0")


def there(hub: HubServer, key: str = MODEL) -> dict[str, bytes]:
    return hub.repos[key]["main"]


def package(path: Path, **options: Any) -> dict[str, bytes]:
    files = package_of(path, REPO, PushOptions(**options)).files
    return {name: one if isinstance(one, bytes) else one.read_bytes() for name, one in files.items()}


def test_what_goes_is_what_use_takes_and_nothing_of_where(hub: HubServer, run: Path, tmp_path: Path) -> None:
    summary = push(run, REPO)
    sent = there(hub)
    assert set(sent) == set(summary.files)
    checkpoint = "checkpoints/step-00000007"
    assert set(sent) == {
        *("README.md", "recipe.yaml", "environment.json", "metrics.jsonl", "report.html"),
        *(f"{checkpoint}/{name}" for name in ("checkpoint.json", "ema.safetensors")),
        *(f"{checkpoint}/autoencoder/{name}" for name in ("config.json", "model.safetensors")),
    }
    assert not any(str(tmp_path).encode() in content for content in sent.values())
    assert yaml.safe_load(sent["recipe.yaml"])["data"]["path"] is None
    environment = json.loads(sent["environment.json"])
    assert {"host", "id", "platform"}.isdisjoint(environment)
    assert b"facegen pull me/faces faces" in sent["README.md"]
    assert hub.commits == [MODEL]


def test_of_a_checkpoint_weights_as_trained_go_where_they_are_asked_for(run: Path) -> None:
    names = package(load_checkpoint(run).folder, weights="model")
    assert "checkpoints/step-00000007/model.safetensors" in names
    assert "checkpoints/step-00000007/ema.safetensors" not in names
    assert json.loads(names["checkpoints/step-00000007/checkpoint.json"])["files"].keys() == {
        "model.safetensors",
        "autoencoder/config.json",
        "autoencoder/model.safetensors",
    }


@pytest.mark.slow
def test_pushed_again_it_has_what_is_new_and_no_longer_what_is_gone(hub: HubServer, run: Path) -> None:
    push(run, REPO)
    assert push(run, REPO).notes[-1] == "Everything was there already."
    assert len(hub.commits) == 1
    (run / "checkpoints" / "step-00000007").rename(run / "checkpoints" / "step-00000009")
    push(run, REPO)
    assert {name.split("/")[1] for name in there(hub) if "/" in name} == {"step-00000009"}
    assert hub.passed["taken"] == 2  # nothing of the weights went again


@pytest.mark.slow
def test_a_card_of_ones_own_is_sent_and_one_that_stands_there_is_left(hub: HubServer, run: Path) -> None:
    (run / "README.md").write_text("# My words\n")
    push(run, REPO)
    assert there(hub)["README.md"] == b"# My words\n"
    (run / "README.md").unlink()
    assert push(run, REPO).notes[0] == "The card there is not facegen's and was left alone."
    assert there(hub)["README.md"] == b"# My words\n"


def test_pictures_of_the_data_go_where_its_terms_allow_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data", licence="CelebA, non-commercial research only")
    write_evaluations(run, only=("attributes", "memorization", "edit"))
    withheld = package_of(run, REPO, PushOptions())
    pictures = {name for name in withheld.files if name.endswith(".png")}
    assert pictures == {"samples/step-00000200.png", "evaluations/attributes-1.png"}
    report = withheld.files["evaluations/memorization-1.json"]
    assert isinstance(report, bytes)
    assert json.loads(report)["picture"] is None
    assert "picture of memorization-1.json" in withheld.left_out
    told = json.loads((tmp_path / "data" / "dataset.json").read_text())
    write_json(tmp_path / "data" / "dataset.json", {**told, "source": {"licence": "mit"}})
    assert "evaluations/memorization-1.png" in package(run)


@pytest.mark.slow
def test_previews_of_an_autoencoder_are_pictures_of_its_data(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data", kind="autoencoder", licence=None)
    files = package(run)
    assert not [name for name in files if name.endswith(".png")]
    assert b"samples/" not in files["README.md"]
    assert "checkpoints/step-00000200/model.safetensors" in files  # it has no averages
    assert "checkpoints/step-00000200/training_state.pt" not in files
    assert "samples/step-00000200.png" in package(run, licence="cc0-1.0")


def test_what_was_done_to_a_run_goes_without_places(run: Path, tmp_path: Path) -> None:
    changes = {"data.path": ("a", str(tmp_path)), "optimizer.lr": (0.1, 0.2)}
    event = RunEvent(3, "2026-01-01", ["facegen", "train", "--data", str(tmp_path / "new")], changes)
    write_history(run, [event])
    told = json.loads(package(run)["history.jsonl"])
    assert told["changes"] == {"optimizer.lr": [0.1, 0.2]}
    assert told["command"][-1] == "new"


def test_a_dry_run_needs_neither_token_nor_network_and_shows_the_card(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    result = CliRunner().invoke(app, ["push", str(run), REPO, "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["files"]["checkpoints/step-00000007/ema.safetensors"] > 0
    assert (Path(told["written"]) / "README.md").read_text().startswith("---\n")
    shown = CliRunner().invoke(app, ["push", str(run), REPO, "--dry-run"])
    assert "README.md" in shown.stdout
    assert "in all" in shown.stdout


def test_a_data_set_goes_as_one_that_the_hubs_viewer_reads(hub: HubServer, data: Path) -> None:
    (data / "account.csv").write_text("file\nAnna's birthday.jpg\n")
    summary = push(data, REPO, OPEN)
    sent = there(hub, REPO)
    assert (
        set(sent)
        == set(summary.files)
        == {
            *("README.md", "dataset.json"),
            *(f"data/{split}-00000-of-00001.parquet" for split in ("train", "validation")),
        }
    )
    assert "account.csv" in summary.left_out
    front = yaml.safe_load(sent["README.md"].decode().split("---\n")[1])
    assert front["license"] == "cc-by-4.0"
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"][1] == {"split": "validation", "path": "data/validation-*"}
    assert json.loads(sent["dataset.json"])["source"]["licence"] == "cc-by-4.0"
    card = sent["README.md"].decode()
    assert "| train | 11 |" in card
    assert "\n\n\n" not in card
    assert named_licence("Their own (https://example.org/a), for free") == {
        "license": "other",
        "license_name": "their-own",
        "license_link": "https://example.org/a",
    }


@pytest.mark.slow
def test_the_datasets_library_reads_the_folder_by_its_card(data: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the datasets library needs POSIX here")
    files = package(data, licence="cc-by-4.0")
    for name, content in files.items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    read = datasets.load_dataset(str(tmp_path / "copy"), cache_dir=str(tmp_path / "datasets"))
    assert {split: len(rows) for split, rows in read.items()} == {"train": 11, "validation": 5}
    assert read["train"][0]["image"].size == (16, 16)


def test_images_of_unknown_terms_are_for_few(hub: HubServer, data: Path) -> None:
    with pytest.raises(UsageError, match="would be for everybody to see, and the terms of its images"):
        push(data, REPO)
    assert hub.repos == {}
    assert push(data, REPO, PushOptions(private=True)).private
    assert hub.private == {REPO}
    hub.private.clear()
    with pytest.raises(UsageError, match="is there and public"):
        push(data, REPO, PushOptions(private=True))


def test_what_is_no_run_and_no_data_set_is_told(run: Path, tmp_path: Path) -> None:
    for path, what in ((tmp_path, "is neither a run nor a data set"), (tmp_path / "no", "is no folder")):
        with pytest.raises(UsageError, match=what):
            push(path, REPO)
    for name in ("faces", "a/b/c", "a b/c", "me/a..b"):
        with pytest.raises(UsageError, match="is no name on the hub"):
            push(run, name)


def test_something_else_that_stands_there_is_not_written_among(hub: HubServer, run: Path) -> None:
    hub.add(MODEL, {"model_index.json": b"{}", "README.md": b""})
    with pytest.raises(UsageError, match=r"holds something else: 1 files, 'model_index.json'"):
        push(run, REPO)
    assert set(there(hub)) == {"model_index.json", "README.md"}


@pytest.mark.slow
def test_the_hubs_refusals_are_told_in_plain_words(
    hub: HubServer, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingModelError, match=r"You may not write to 'you/faces' \(403\)"):
        push(run, "you/faces")
    hub.add("models/you/faces", {})
    with pytest.raises(MissingModelError, match=r"You may not write to 'you/faces' \(403\)"):
        push(run, "you/faces")
    hub.status = 500
    with pytest.raises(MissingModelError, match="answered with status 500"):
        push(run, REPO)
    hub.status = None
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    with pytest.raises(MissingModelError, match=r"does not take your token[^\0]*hf auth login"):
        push(run, REPO)


def test_without_a_token_a_network_or_a_hub_it_says_what_to_do(
    hub: HubServer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingModelError, match=r"The hub did not answer \(ConnectError\)"):
        push(run, REPO)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with pytest.raises(
        MissingModelError, match=r"nothing without a token[^\0]*hf auth login; or set HF_TOKEN"
    ):
        push(run, REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingModelError, match=r"HF_HUB_OFFLINE is set.\nunset HF_HUB_OFFLINE"):
        push(run, REPO)


def test_a_damaged_run_or_data_set_is_not_sent(hub: HubServer, run: Path, tmp_path: Path) -> None:
    weights = load_checkpoint(run).folder / "ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(StorageError, match="is corrupt"):
        push(run, REPO)
    data = write_dataset(tmp_path / "other").folder
    table = next((data / "data").glob("train-*"))
    table.write_bytes(table.read_bytes() + b"\0")
    with pytest.raises(StorageError, match="is altered"):
        push(data, REPO, OPEN)
    assert hub.repos == {}


def test_a_secret_keeps_everything_here(hub: HubServer, run: Path) -> None:
    (run / "README.md").write_text("# Mine\n\nhf_" + "a1" * 17 + "\n")
    with pytest.raises(DataError, match=r"'README.md', line 3: a token of the hub \(hf_a1a…\)"):
        push(run, REPO)
    assert hub.repos == {}


def test_data_sets_that_list_no_files_are_compared_by_what_they_hold(hub: HubServer, data: Path) -> None:
    told = json.loads((data / "dataset.json").read_text())
    write_json(data / "dataset.json", {**told, "files": {}})
    push(data, REPO, OPEN)
    write_json(data / "dataset.json", {**told, "files": {}, "fingerprint": "0" * 64})
    with pytest.raises(DataError, match="was changed after it was prepared"):
        push(Dataset.open(data).folder, REPO, OPEN)
    assert torch.is_tensor(Dataset.open(data).split("train").images([0]))
