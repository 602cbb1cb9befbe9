"""Run folders with a recipe, a log, a checkpoint, previews and evaluations of every kind, in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from support.edited_report import edit_report

from facegen.config.recipe import parse_recipe
from facegen.evaluation.attributes import AttributeReport
from facegen.evaluation.clip_score import ClipScoreReport
from facegen.evaluation.control import ControlReport
from facegen.evaluation.distribution import DistributionReport
from facegen.evaluation.memorization import MemorizationReport
from facegen.evaluation.reconstruction import ReconstructionReport
from facegen.evaluation.subgroups import SubgroupReport
from facegen.evaluation.sweep import SweepReport
from facegen.formats.checkpoint import CheckpointInfo, save_checkpoint
from facegen.formats.dataset import DatasetManifest
from facegen.formats.files import write_json
from facegen.formats.reports import ScoreRow
from facegen.formats.run import RunDirectory
from facegen.types import LabelSchema

HOSTILE = "<script>alert(\"x\")</script> <img src=x onerror=y> & 'quoted' `code` | </pre>"
LABELS = LabelSchema(attributes=("Smiling", "Eyeglasses"))
SETTINGS = {
    "seed": 0,
    "sampler": {"kind": "dpmpp_2m"},
    "steps": 20,
    "guidance_scale": 2.5,
    "checkpoint_step": 200,
}
TASKS: dict[str, dict[str, Any]] = {
    "generator": {
        "task": {"kind": "denoising"},
        "denoiser": {"kind": "dit", "width": 32, "depth": 1, "num_heads": 2},
        "conditioner": {"kind": "attributes", "dim": 32},
    },
    "autoencoder": {"task": {"kind": "autoencoding"}, "autoencoder": {"kind": "compact"}},
    "classifier": {"task": {"kind": "attribute_classification"}},
}
VALIDATIONS: dict[str, dict[str, Any]] = {
    "generator": {
        "loss": 0.5,
        "trivial_loss": 1.0,
        "better_than_trivial": True,
        "verdict": "validation loss 0.5: 50 % below",
        "noise_levels": [0.25, 0.75],
        "loss_per_level": [0.6, 0.4],
        "zero_predictor_per_level": [1.0, 1.0],
        "mean_predictor_per_level": [1.0, 0.9],
    },
    "autoencoder": {
        "loss": 0.05,
        "kl": 5.0,
        "mse": 0.01,
        "psnr": 29.6,
        "mean_image_psnr": 12.0,
        "verdict": "Reconstruction 29.60 dB PSNR.",
    },
    "classifier": {
        "loss": 0.3,
        "accuracy": 0.9,
        "balanced_accuracy": 0.8,
        "auc": 0.95,
        "better_than_trivial": True,
        "verdict": "90.0% right.",
        "attributes": {
            "Smiling": {"auc": 0.96, "balanced_accuracy": 0.88, "accuracy": 0.9, "num_positive": 300},
            "Eyeglasses": {"auc": 0.91, "balanced_accuracy": 0.7, "accuracy": 0.95, "num_positive": 12},
        },
    },
}  # fmt: skip


def write_run(
    folder: Path,
    *,
    data: Path,
    kind: str = "generator",
    licence: str | None = "CelebA",
    about: str = "",
    empty: bool = False,
) -> Path:
    """A run of 200 steps; `empty` stops it before its first. `data` becomes a data set, unless `empty`."""
    recipe = parse_recipe(
        {
            **TASKS[kind],
            "about": about,
            "data": {"path": str(data)},
            "training": {"max_steps": 200, "batch_size": 8},
        }
    )
    folder.mkdir(parents=True)
    run = RunDirectory(folder)
    run.start(recipe)
    if empty:
        return folder
    _write_data(data, licence)
    for step in (100, 200):
        parts = {"kl": 4.0, "mse": 0.02} if kind == "autoencoder" else {}
        row = {"step": step, "group": "train", "loss": 1.0 - step / 400, **parts}
        run.append_metrics({**row, "images_seen": 8 * step, "images_per_second": 100.0})
        run.append_metrics({"step": step, "group": "validation", **VALIDATIONS[kind]})
        grid = run.sample_file(step)
        grid.parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 16), "red").save(grid)
    info = CheckpointInfo(
        step=200,
        images_seen=1600,
        recipe=recipe.model_dump(mode="json"),
        labels=LABELS,
        image_size=16,
        data_fingerprint="f" * 64,
        metrics={"loss": 0.5},
    )
    save_checkpoint(run.checkpoint("step-00000200"), info, {"model": {"weight": torch.zeros(3, 4)}}, {})
    return folder


def _write_data(folder: Path, licence: str | None) -> None:
    manifest = DatasetManifest(
        kind="celeba",
        image_size=16,
        labels=LABELS,
        counts={"train": 640, "validation": 80},
        fingerprint="d" * 64,
        source={"name": "celeba", "licence": licence},
    )
    write_json(folder / "dataset.json", manifest.to_json())


def write_evaluations(
    run: Path, *, only: tuple[str, ...] | None = None, words: str = "plain", step: int = 200, **changes: Any
) -> list[Path]:
    """Reports as the commands write them, with pictures; `words` stand wherever people's words do."""
    folder, paths = run / "evaluations", []
    folder.mkdir(exist_ok=True)
    settings = {**SETTINGS, "checkpoint_step": step}
    for name, make in MAKERS.items():
        if only is not None and name not in only:
            continue
        number = 1 + len(list(folder.glob(f"{name}-*.json")))
        path = folder / f"{name}-{number}.json"
        Image.new("RGB", (40, 20), "blue").save(path.with_suffix(".png"))
        report = make(words, settings, Path("elsewhere") / path.with_suffix(".png").name)
        write_json(path, {**report.to_json(), **changes})
        paths.append(path)
    return paths


def _distribution(words: str, settings: dict[str, Any], picture: Path) -> DistributionReport:
    rows = {
        name: ScoreRow(
            name, value, better, value, low, high, 0.5, "this distance", None, floor, 4.75, {}, published
        )
        for name, value, better, low, high, floor, published in (
            ("fid", 11.5, "lower", 10.0, 12.0, 3.25, "FID"),
            ("kid", 0.01, "lower", 0.008, 0.012, 0.0, "KID"),
            ("recall", 0.6, "higher", 0.55, 0.65, 0.9, None),
        )
    }
    return DistributionReport(
        metric="all",
        scores=rows,
        num_samples=400,
        num_reference=640,
        num_features=2048,
        features="inception",
        subject="run",
        subject_kind="run",
        reference=words,
        split="train",
        floor={"num_samples": 400, "num_reference": 640, "method": "held-out"},
        ceiling={"num_samples": 400},
        fingerprint={"features": "inception:abc", "image_size": 16, "bits": 8, "compression": "lossless"},
        remarks=(f"a remark about few images {words}",),
        settings=settings,
        seconds=1.0,
    )


def _sweep(words: str, settings: dict[str, Any], picture: Path) -> SweepReport:
    reports = tuple(_distribution(words, settings, picture) for _ in range(2))
    return SweepReport(
        setting="guidance",
        values=(1.0, 2.0),
        reports=reports,
        pareto=(2.0,),
        axes=("recall", "fid"),
        plot=picture,
    )


def _share(share: float) -> Any:
    return {"share": share, "low": share - 0.05, "high": share + 0.05}


def _attributes(words: str, settings: dict[str, Any], picture: Path) -> AttributeReport:
    row: Any = {
        "asked_yes": {"num_asked": 40, "hit_rate": 0.8},
        "asked_no": {"num_asked": 60, "hit_rate": 0.9},
        "recall": 0.8,
        "precision": 0.842,
        "recall_on_real": 0.917,
        "accuracy_on_real": 0.95,
        "accuracy_on_reconstructions": 0.93,
        "classifier_accuracy": 0.94,
    }
    shares: Any = {
        "all": _share(0.85),
        "present": _share(0.8),
        "absent": _share(0.9),
        "whole_request": _share(0.7),
    }
    return AttributeReport(
        scores={},
        fingerprint={},
        num_samples=100,
        request=None,
        generated=shares,
        real=shares,
        reconstructed=None,
        attributes={"Smiling": row, words: row},
        weakest=("Smiling",),
        classifier="runs/judge",
        classifier_accuracy=0.94,
        classifier_fingerprint="c" * 64,
        run="run",
        data=words,
        settings=settings,
        seconds=1.0,
        grid=picture,
    )


def _control(words: str, settings: dict[str, Any], picture: Path) -> ControlReport:
    row: Any = {
        "attribute": words,
        "num_pairs": 64,
        "hit": _share(0.7),
        "reversed": 0.01,
        "effect": _share(0.69),
        "chance": 0.2,
        "leakage": {"Smiling": {**_share(0.06), "num_pairs": 64, "chance": 0.4}, words: None},
        "mean_leakage": 0.06,
    }
    return ControlReport(
        num_samples=64,
        num_images=128,
        scores={},
        fingerprint={},
        base="labels",
        class_column=None,
        answers=("Smiling", words),
        rows=(row,),
        hit=_share(0.7),
        hit_chance=0.2,
        leakage=_share(0.06),
        leakage_chance=0.4,
        classifier_limits={words: {"hit": 0.85, "leakage": 0.1, "accuracy": 0.9}},
        classifier_hit=0.85,
        classifier_leakage=0.1,
        no_effect_shown=(words,),
        remarks=(words,),
        classifier="runs/judge",
        classifier_fingerprint="c" * 64,
        run="run",
        data=words,
        settings=settings,
        seconds=1.0,
        heat_map=picture,
        grid=picture,
    )


def _clip_score(words: str, settings: dict[str, Any], picture: Path) -> ClipScoreReport:
    return ClipScoreReport(
        scores={},
        fingerprint={},
        score=24.0,
        low=23.0,
        high=25.0,
        num_samples=100,
        chance=20.0,
        real={"score": 26.0, "low": 25.0, "high": 27.0, "num_samples": 100},
        prompts=[{"prompt": words, "score": 21.0, "num_samples": 3}],
        clip=words,
        clip_fingerprint="c" * 64,
        subject="run",
        subject_kind="run",
        remarks=(words,),
        settings=settings,
        seconds=1.0,
    )


def _memorization(words: str, settings: dict[str, Any], picture: Path) -> MemorizationReport:
    pair: Any = {
        "sample": words,
        "train_id": words,
        "mirrored": True,
        "distance": 0.4,
        "score": 0.8,
        "flagged": False,
    }
    return MemorizationReport(
        scores={},
        fingerprint={},
        share=0.0,
        low=0.0,
        high=0.04,
        num_flagged=0,
        num_samples=100,
        threshold=0.7,
        nominal_rate=0.01,
        held_out={"share": 0.01, "low": 0.0, "high": 0.02, "num_samples": 400},
        verdict=f"no sign of copies {words}",
        pairs=(pair,),
        features="pixels",
        features_fingerprint="pixels:16",
        train=words,
        train_fingerprint="d" * 64,
        num_train=640,
        subject="run",
        subject_kind="run",
        settings=settings,
        seconds=1.0,
        picture=picture,
    )


def _group(label: str, value: str, *, small: bool = False) -> dict[str, Any]:
    score = {"value": 0.02, "low": 0.01, "high": 0.03}
    scores = dict.fromkeys(
        ("kid", "precision", "recall", "accuracy", "real_accuracy"), None if small else score
    )
    count = 9 if small else 90
    return {
        "label": label,
        "value": value,
        "num_samples": count,
        "num_reference": count,
        "small": small,
        **scores,
    }


def _subgroups(words: str, settings: dict[str, Any], picture: Path) -> SubgroupReport:
    rows = (_group("everyone", ""), _group("Eyeglasses", "yes", small=True), _group("Smiling", "yes"))
    return SubgroupReport(
        scores={},
        fingerprint={},
        rows=(*rows, _group(words, "no")),
        worse_off=("Smiling = yes",),
        num_samples=100,
        small_below=50,
        features="classifier:judge",
        features_fingerprint="classifier:abc",
        classifier="runs/judge",
        classifier_fingerprint="c" * 64,
        subject="run",
        subject_kind="run",
        reference=words,
        reference_fingerprint="d" * 64,
        split="train",
        remarks=(words,),
        settings=settings,
        seconds=1.0,
    )


def _reconstruction(words: str, settings: dict[str, Any], picture: Path) -> ReconstructionReport:
    return ReconstructionReport(
        scores={},
        fingerprint={},
        psnr={"mean": 29.5, "low": 29.1, "high": 29.9, "worst_5_percent": 25.0},
        ssim={"mean": 0.9, "low": 0.89, "high": 0.91, "worst_5_percent": 0.8},
        distance=None,
        distance_name=None,
        distance_fingerprint=None,
        frechet={"score": 3.0, "low": 2.0, "high": 4.0, "num_features": 8},
        features="inception",
        features_fingerprint="inception:abc",
        num_samples=80,
        worst=(),
        autoencoder="run",
        autoencoder_kind="compact",
        autoencoder_fingerprint="a" * 64,
        dataset=words,
        dataset_fingerprint="d" * 64,
        split="validation",
        image_size=16,
        latent_shape=(4, 4, 4),
        remarks=(words,),
        seconds=1.0,
        picture=picture,
    )


MAKERS = {
    "all": _distribution,
    "sweep": _sweep,
    "attributes": _attributes,
    "control": _control,
    "edit": edit_report,
    "clip-score": _clip_score,
    "memorization": _memorization,
    "subgroups": _subgroups,
    "reconstruction": _reconstruction,
}
