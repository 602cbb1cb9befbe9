"""The page and the model card say what a run folder holds, and are safe to open."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from support.report_parts import HOSTILE, LABELS, write_evaluations, write_run
from typer.testing import CliRunner

from facegen.cli.app import app
from facegen.errors import UsageError
from facegen.formats.files import sha256_of, write_json
from facegen.formats.latents import LatentIndex, StoredFile
from facegen.report.blocks import Series
from facegen.report.facts import read_run
from facegen.report.model_card import MARK
from facegen.report.report import report
from facegen.types import LatentScaling


class Page(HTMLParser):
    """Tags, headings, words and pictures of a page; notices tags that do not close."""

    VOID = ("meta", "img", "circle", "line", "polyline")
    TITLES = ("h2", "h3", "summary")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open_tags: list[str] = []
        self.titles: list[str] = []
        self.text, self.pictures = "", 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.pictures += tag == "img"
        if tag not in self.VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open_tags and self.open_tags[-1] in self.TITLES:
            self.titles.append(data)


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def _write_latents(folder: Path, source: dict[str, Any]) -> None:
    """The index of latents of the data set that `write_run` writes, without a single latent."""
    index = LatentIndex(
        sample_shape=(4, 4, 4),
        scaling=LatentScaling((0.0,) * 4, (1.0,) * 4),
        labels=LABELS,
        image_size=16,
        flips=False,
        autoencoder={"source": "ae", "kind": "compact", "fingerprint": "a" * 64},
        dataset_fingerprint="d" * 64,
        transform={"source": source} if source else {},
        shards={"train": (StoredFile("latents.safetensors", 640, 2, sha256_of(b"{}")),)},
        records={"train": StoredFile("records.parquet", 640, 2, sha256_of(b"{}"))},
    )
    folder.mkdir(exist_ok=True)
    (folder / "records.parquet").write_bytes(b"{}")
    (folder / "latents.safetensors").write_bytes(b"{}")
    write_json(folder / "index.json", index.to_json())


def _front_matter(card: Path) -> dict[str, Any]:
    return yaml.safe_load(card.read_text().split("---\n")[1])


def test_the_page_has_every_part_of_a_run_that_was_judged_in_every_way(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    write_evaluations(run)
    summary = report(run)
    page = page_of(summary.page)
    for title in (
        "What it makes",
        "How close to real faces?",
        "The same at other settings",
        "Does it do as asked?",
        "One wish at a time",
        "What becomes of a photo?",
        "Do the faces fit the words?",
        "Does it copy its training images?",
        "Is it good for everyone?",
        "How it learned",
        "Recipe",
        "Environment",
        "Every evaluation in this folder",
    ):
        assert title in page.titles
    assert summary.missing == ()
    assert summary.left_out == {}
    assert summary.evaluations == 9
    assert page.pictures >= 8  # previews, and the picture of each evaluation that has one


def test_edited_photos_are_told_beside_sdedit_where_as_much_comes_true(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    write_evaluations(run, only=("edit",))
    text = page_of(report(run).page).text
    for told in ("34.1 dB", "the photo itself", "75.0 %", "6.1 %", "12.4 %", "25.5", "0.52"):
        assert told in text


def test_every_score_stands_beside_what_it_takes_to_read_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    write_evaluations(run, only=("all",))
    text = page_of(report(run).page).text
    for told in (
        "11.5",
        "10 to 12",
        "real faces",
        "3.25",
        "after autoencoder",
        "4.75",
        "lossless",
        "inception:abc",
    ):
        assert told in text
    assert "400" in text
    assert "a remark about few images" in text


def test_the_summary_says_what_for_how_long_and_whether_it_learned(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    text = page_of(report(run).page).text
    assert "A generator of 16×16 pixel faces" in text
    assert "trained on 640 images of celeba" in text
    assert "It trained for 200 steps and saw 1,600 images, each about 2.5 times, in about 16 seconds" in text
    assert "It is better than guessing: validation loss 0.5: 50 % below" in text


def test_a_run_without_evaluations_says_which_commands_to_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a run", data=tmp_path / "data")
    summary = report(run)
    page = page_of(summary.page)
    assert "What is not known yet" in page.titles
    for command in ("eval all", "eval attributes", "eval control", "eval memorization", "eval subgroups"):
        assert any(line.startswith(f"facegen {command} '{run}'") for line in summary.missing)
    assert "--reference data" in page.text  # not where it lies on this machine
    assert "Not known yet: how close its faces are to real ones;" in page.text


def test_series_come_from_one_group_and_the_last_word_on_a_step_counts(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    rows = [
        {"step": 1, "group": "train", "loss": 3.0},
        {"step": 2, "group": "train", "loss": 2.0},
        {"step": 2, "group": "validation", "loss": 9.0},
        {"step": 2, "group": "train", "loss": 1.0},
        {"step": 3, "group": "train", "loss": float("nan")},
    ]
    log = run / "metrics.jsonl"
    log.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"step": 3, "gro')
    facts = read_run(run)
    assert facts.series("train", "loss", "training") == Series("training", [1, 2], [3.0, 1.0])
    assert facts.series("train", "absent", "absent").x == []


def test_scores_made_while_training_and_an_early_end_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    assert "Scores of" not in page_of(report(run, tmp_path / "before.html").page).text
    rows = [
        {"step": 2, "group": "scores", "kid": 0.25, "attributes": 0.5},
        {"step": 4, "group": "scores", "kid": 0.125, "attributes": 0.75},
        {"step": 4, "group": "stop", "reason": "kid did not get better"},
    ]
    with (run / "metrics.jsonl").open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    page = page_of(report(run, tmp_path / "after.html").page)
    assert {"Kernel distance", "Attributes that came true"} <= set(page.titles)
    assert "Scores of 256 faces" in page.text
    assert "to compare the steps of this run alone" in page.text
    assert "Stopped early after step 4: kid did not get better." in page.text


def test_answered_questions_are_not_asked_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    write_evaluations(run, only=("all", "attributes"))
    missing = report(run).missing
    assert not any("eval all" in line or "eval attributes" in line for line in missing)
    assert any("eval control" in line and "--classifier runs/judge" in line for line in missing)


def test_one_fixed_request_does_not_answer_whether_it_does_as_asked(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    write_evaluations(run, only=("attributes",), request="Smiling=1")
    summary = report(run)
    assert any("eval attributes" in line for line in summary.missing)
    assert "Of faces asked for with “Smiling=1”" in page_of(summary.page).text


def test_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data", licence="see https://example.com/licence")
    write_evaluations(run)
    html = report(run).page.read_text()
    addresses = re.findall(r'(?:src|href|action|srcset|poster|data)="([^"]*)"', html)
    assert addresses
    assert all(one.startswith(("data:image/", "#part-")) for one in addresses)
    assert "url(" not in html
    assert "@import" not in html
    assert "see https://example.com/licence" in html  # as words


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / HOSTILE.replace("/", "∕"), data=tmp_path / "data", about=HOSTILE, licence=HOSTILE
    )
    write_evaluations(run, words=HOSTILE)
    summary = report(run)
    page = page_of(summary.page)
    assert page.open_tags == []
    assert not {"script", "iframe", "link", "b"} & set(page.tags)
    assert "<img src=x" not in summary.page.read_text()
    assert HOSTILE in page.text
    assert summary.card is not None
    body = summary.card.read_text().partition(MARK)[2]
    assert "<script" not in re.sub(r"(`{3,})\w*\n.*?\n\1", "", body, flags=re.DOTALL)


def test_small_groups_are_greyed_out_and_come_last(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    write_evaluations(run, only=("subgroups",))
    html = report(run).page.read_text()
    dimmed = re.findall(r'<tr class="dim"><td[^>]*>([^<]*)', html)
    assert dimmed == ["Eyeglasses: yes"]
    assert html.index("Smiling: yes</td>") < html.index("Eyeglasses: yes</td>")
    assert "Beyond doubt worse off than all others: Smiling = yes." in html


def test_drawn_faces_are_held_against_the_judges_eye_for_the_same_question_and_never_its_accuracy(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    row = {
        "asked_yes": {"num_asked": 40, "hit_rate": 0.8},
        "asked_no": {"num_asked": 60, "hit_rate": 0.9},
        "accuracy_on_reconstructions": 0.93,
        "classifier_accuracy": 0.94,
    }
    rows: dict[str, Any] = {"attributes": {"Smiling": row, "Eyeglasses": row}}
    write_evaluations(run, only=("attributes",), **rows)
    assert "how often the judge finds it" not in report(run).page.read_text(), "nobody knows"
    write_evaluations(
        run,
        only=("attributes",),
        **rows,
        reconstructed={**rows, "all": {"share": 0.8, "low": 0.7, "high": 0.9}},
    )
    assert "real faces that have it, after the autoencoder" in report(run).page.read_text()


def test_the_newest_report_of_a_kind_is_shown_and_an_older_checkpoint_is_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    (old,) = write_evaluations(run, only=("memorization",), verdict="the older verdict")
    os.utime(old, (1, 1))
    write_evaluations(run, only=("memorization",), verdict="the newer verdict", step=100)
    text = page_of(report(run).page).text
    assert "the newer verdict" in text
    assert "the older verdict" not in text
    assert "Judged was the checkpoint of step 100; by now the run draws with that of step 200." in text


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format_version": 99}', '{"format_version": 1, "metric": "subgroups"}']
)
def test_a_report_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path, content: str) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    (run / "evaluations").mkdir()
    (run / "evaluations" / "subgroups-1.json").write_text(content)
    summary = report(run)
    assert set(summary.left_out) == {"subgroups-1.json"}
    assert "subgroups-1.json" in page_of(summary.page).text
    assert any("eval subgroups" in line for line in summary.missing)


def test_a_damaged_or_lost_picture_leaves_a_sentence(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    for path in write_evaluations(run, only=("memorization",)):
        path.with_suffix(".png").write_bytes(b"no picture")
    next((run / "samples").glob("*.png")).write_bytes(b"")
    text = page_of(report(run).page).text
    assert "memorization-1.png' cannot be shown" in text
    assert "step-00000200.png' cannot be shown" in text


def test_a_large_picture_is_embedded_smaller(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    noise = torch.randint(
        0, 255, (900, 1800, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    Image.fromarray(noise.numpy()).save(run / "samples" / "step-00000200.png")
    page = report(run).page
    assert page.stat().st_size < 0.5 * (run / "samples" / "step-00000200.png").stat().st_size
    assert "data:image/jpeg;base64," in page.read_text()


def test_an_autoencoder_run_shows_each_loss_and_asks_for_reconstructions(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data", kind="autoencoder")
    summary = report(run)
    page = page_of(summary.page)
    assert "An autoencoder of 16×16 pixel faces" in page.text
    assert {"Each loss by itself", "kl", "mse", "Reconstruction"} <= set(page.titles)
    assert summary.missing == (f"facegen eval reconstruction {run} {tmp_path / 'data'}",)
    write_evaluations(run, only=("reconstruction",))
    summary = report(run)
    assert summary.missing == ()
    assert "Held-out images come back with 29.5 dB PSNR (29.1 to 29.9)." in page_of(summary.page).text


def test_a_classifier_run_lists_its_attributes_with_rare_ones_greyed_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data", kind="classifier")
    summary = report(run)
    html = summary.page.read_text()
    assert "Attribute by attribute" in page_of(summary.page).titles
    assert re.findall(r'<tr class="dim"><td[^>]*>([^<]*)', html) == ["Eyeglasses"]
    assert summary.missing == ()
    assert summary.card is not None
    assert "| Smiling | 300 | 0.96 |" in summary.card.read_text()


def test_the_model_card_has_front_matter_licence_scores_and_bias(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data", licence="CelebA, non-commercial research only")
    write_evaluations(run)
    card = run / "README.md"
    assert report(run).card == card
    front = _front_matter(card)
    assert front["license"] == "other"
    assert front["library_name"] == "facegen"
    assert front["datasets"] == ["celeba"]
    assert "diffusion" in front["tags"]
    results, asked, copied = front["model-index"][0]["results"]
    interval = "without the bias of few images 95 % interval 10 to 12"
    assert {"type": "fid", "name": f"FID (inception), {interval}", "value": 11.5} in results["metrics"]
    assert [asked["metrics"][0][key] for key in ("type", "value")] == ["accuracy", 0.85]
    assert copied["metrics"][0]["name"].endswith("95 % interval 0.0–4.0 %")
    text = card.read_text()
    assert "![run](samples/step-00000200.png)" in text
    assert "no sign of copies plain" in text.partition("## Copies of training images")[2]
    assert "- Licence: CelebA, non-commercial research only" in text
    for title in (
        "Data and their licence",
        "Intended use",
        "Limits",
        "Measured scores",
        "Measured bias",
        "Training",
    ):
        assert f"\n## {title}" in text
    assert "| Smiling: yes | 90 | 90 | 0.02 |" in text
    assert "| Eyeglasses: yes (few) | 9 |" in text
    assert text.startswith("---\nlicense: other\n")
    assert "\n\n\n" not in text


def test_an_unknown_licence_is_not_guessed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data", licence=None)
    card = report(run).card
    assert card is not None
    assert _front_matter(card)["license"] == "unknown"
    assert "- Licence: unknown: look it up" in card.read_text()
    assert "Not measured. That is no sign that there is none." in card.read_text()


def test_the_licence_travels_with_the_latents(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    (tmp_path / "data" / "dataset.json").unlink()
    _write_latents(tmp_path / "data", {"kind": "celeba", "name": "CelebA", "licence": "research only"})
    card = report(run).card
    assert card is not None
    assert "- Data: CelebA\n- Images: train 640\n- Licence: research only" in card.read_text()


def test_older_latents_have_the_licence_of_the_images_they_were_made_from(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "images", licence="research only")
    _write_latents(tmp_path / "latents", {})
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(tmp_path / "images"), str(tmp_path / "latents")))
    write_evaluations(run, only=("all",), words=str(tmp_path / "images"))
    summary = report(run)
    assert "Data: research only." in page_of(summary.page).text
    assert any(f"--train {tmp_path / 'images'}" in line for line in summary.missing)


def test_the_command_says_where_the_page_is_and_what_is_missing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    told = CliRunner().invoke(app, ["report", str(run)])
    assert told.exit_code == 0
    assert str(run / "report.html") in told.stdout
    data = json.loads(CliRunner().invoke(app, ["report", str(run), "--json"]).stdout)
    assert data["page"] == str(run / "report.html")
    assert data["missing"][0] == f"facegen eval all {run} --reference {tmp_path / 'data'}"


def test_a_readme_of_somebody_else_is_left_alone_and_ones_own_renewed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    card = report(run).card
    assert card is not None
    assert report(run).card == card
    card.write_text("# My own words\n")
    assert report(run).card is None
    assert card.read_text() == "# My own words\n"


def test_the_page_may_go_elsewhere_and_a_checkpoint_means_its_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "data")
    checkpoint = next((run / "checkpoints").iterdir())
    assert report(checkpoint, tmp_path / "out" / "page.html").page == tmp_path / "out" / "page.html"
    assert (run / "README.md").is_file()
    with pytest.raises(UsageError, match="is a folder"):
        report(run, tmp_path)


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run"):
        report(tmp_path)


def test_a_run_that_has_only_started_gives_a_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", data=tmp_path / "gone", empty=True)
    summary = report(run)
    text = page_of(summary.page).text
    assert "It has not logged a single training step yet." in text
    assert f"facegen train --resume --run {run.name}" in text
    assert summary.card is not None
    assert "- Licence: unknown: look it up" in summary.card.read_text()
