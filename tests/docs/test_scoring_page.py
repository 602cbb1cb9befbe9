"""The recipe on the page about scores is one that a run can be started with."""

from __future__ import annotations

import re
from pathlib import Path

from facegen.config.composition import compose

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scoring.md"


def test_the_scores_on_the_page_go_with_the_preset_beside_them(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    (section,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    (preset,) = set(re.findall(r"--preset (\S+)", text))
    file = tmp_path / "scoring.yaml"
    file.write_text(section, encoding="utf-8")
    scoring = compose(preset, file).scoring
    assert [score.kind for score in scoring.scores] == ["kid", "attributes"]
    assert (scoring.best_by, scoring.stop_after) == ("kid", 5)
