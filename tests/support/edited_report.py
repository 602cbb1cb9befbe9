"""A report of `facegen eval edit`, as `report_parts` wants one."""

from pathlib import Path
from typing import Any

from facegen.evaluation.edit import EditReport


def edit_report(words: str, settings: dict[str, Any], picture: Path) -> EditReport:
    share: Any = {"share": 0.75, "low": 0.7, "high": 0.8}
    row: Any = {
        "attribute": words,
        "method": "edit",
        "strength": 0.8,
        "num_faces": 60,
        "hit": share,
        "leakage": {"share": 0.061, "low": 0.05, "high": 0.07},
        "pixels": 6.5,
        "distance": 0.15,
        "features": None,
        "same_success": {
            "strength": 0.6, "leakage": 0.124, "pixels": 25.5, "distance": 0.52, "features": None,
        },
    }  # fmt: skip
    theirs: Any = {**row, "method": "SDEdit", "hit": None, "leakage": None, "same_success": None}
    return EditReport(
        scores={},
        fingerprint={},
        num_samples=64,
        rows=(row, theirs),
        reconstructed={"leakage": share, "pixels": 3.4, "distance": 0.01, "features": None},
        psnr={"autoencoder": 34.1, "nothing": 34.1, "nothing_finished": None},
        distance_name=words,
        features_name=None,
        remarks=(words,),
        classifier="runs/judge",
        classifier_fingerprint="c" * 64,
        run="run",
        data=words,
        split="validation",
        settings=settings,
        seconds=1.0,
        grid=picture,
    )
