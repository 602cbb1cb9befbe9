"""The demo at its smallest size: every stage runs, the page stands alone, and a second call goes on."""

from __future__ import annotations

import base64
import html
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import facegen
from facegen.config.composition import compose
from facegen.demo.demo import DemoOptions, DemoSummary, demo
from facegen.errors import UsageError
from facegen.formats.images import read_png_text
from facegen.making.options import MakeFolders
from facegen.making.plan import STAGES
from facegen.making.speed import with_training
from facegen.progress import SilentProgress

pytestmark = pytest.mark.slow

SMOKE = DemoOptions(minutes=0.2, size="smoke")


SECRET = "somebody-at-home"
TOKENS = {
    name: f"secret-of-{name}" for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "USER")
}
PACKED = re.compile(r"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[DemoSummary, SilentProgress]]:
    """A demo in a folder named from where it lies, as people start it."""
    progress = SilentProgress()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TOKENS.items():
            patch.setenv(name, value)
        patch.chdir(tmp_path_factory.mktemp(SECRET))
        yield demo(Path("demo"), SMOKE, progress), progress


def test_nothing_that_it_writes_tells_a_place_on_this_machine_or_who_made_it(
    finished: tuple[DemoSummary, SilentProgress],
) -> None:
    secrets = [SECRET, str(Path.home()), str(Path(facegen.__file__).parent), sys.prefix, *TOKENS.values()]
    files = [path for path in finished[0].out.rglob("*") if path.is_file()]
    told = [
        (str(path), secret)
        for path in files
        for secret in secrets
        if secret.encode() in path.read_bytes() + read_texts(path)
    ]
    assert len(files) > 50
    assert told == []


def read_texts(path: Path) -> bytes:
    """What a file says where it may be packed: the words of a PNG, of a page's pictures, and of a table."""
    if path.suffix == ".png":
        return str(read_png_text(path)).encode()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return str(
            [table.schema, table.schema.metadata, table.drop_columns(pictures_of(table)).to_pylist()]
        ).encode()
    if path.suffix == ".html":
        return b"".join(map(unpacked, PACKED.findall(path.read_text("utf-8"))))
    return b""


def pictures_of(table: pa.Table) -> list[str]:
    return [field.name for field in table.schema if pa.types.is_struct(field.type)]


def unpacked(picture: str) -> bytes:
    """A picture within a page: its bytes, and of a PNG its words."""
    data = base64.b64decode(picture)
    if data[:4] == b"\x89PNG":
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return data + str(image.info).encode()
    return data


def test_every_stage_is_announced_and_timed(finished: tuple[DemoSummary, SilentProgress]) -> None:
    summary, progress = finished
    assert tuple(summary.seconds) == STAGES
    for number, name in enumerate(STAGES, start=1):
        assert any(line.startswith(f"[{number}/{len(STAGES)}] {name}:") for line in progress.said)


def test_the_report_needs_nothing_but_itself(finished: tuple[DemoSummary, SilentProgress]) -> None:
    page = finished[0].report.read_text(encoding="utf-8")
    assert "data:image/" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#|https://avataaars)[^"]+"', page)
    assert "Avataaars by Pablo Stanley" in page


def test_scores_are_in_the_summary_and_in_the_report(finished: tuple[DemoSummary, SilentProgress]) -> None:
    summary = finished[0]
    assert 0 <= summary.attributes["share_all"] <= 1
    assert summary.fid["scores"]["fid"]["value"] > 0
    page = html.unescape(summary.report.read_text(encoding="utf-8")).replace("\N{NO-BREAK SPACE}", " ")
    assert f"{100 * summary.attributes['share_all']:.1f} %" in page


def test_a_second_call_goes_on_and_draws_the_same_faces(
    finished: tuple[DemoSummary, SilentProgress],
) -> None:
    summary = finished[0]
    folders = MakeFolders(summary.out)
    weights = folders.run / "checkpoints"
    before = {path: path.stat().st_mtime_ns for path in weights.rglob("*.safetensors")}
    faces = summary.grid.read_bytes()
    again = demo(summary.out, SMOKE)
    assert {path: path.stat().st_mtime_ns for path in weights.rglob("*.safetensors")} == before
    assert again.grid.read_bytes() == faces


def test_a_demo_of_other_minutes_does_not_go_into_the_same_folder(
    finished: tuple[DemoSummary, SilentProgress],
) -> None:
    recipe = MakeFolders(finished[0].out).run / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"was made with minutes 0\.2"):
        demo(finished[0].out, DemoOptions(minutes=5, size="smoke"))
    assert recipe.read_text(encoding="utf-8") == text


def test_a_recipe_that_counts_epochs_can_be_tried_for_a_few_steps() -> None:
    trial = with_training(compose("avatars-classifier"), max_steps=3)
    assert (trial.training.max_steps, trial.training.epochs) == (3, None)
