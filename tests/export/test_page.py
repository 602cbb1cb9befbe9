"""The page draws facegen's faces in a real browser, opened as a file and without a network."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.exported_runs import UNET2D, save_run
from support.generator_parts import UNET, tiny_generator

from facegen.errors import MissingModelError, UsageError
from facegen.export.export import TOLERANCE, export
from facegen.export.model import Exported, opened
from facegen.export.options import ExportOptions
from facegen.export.page import check_page, write_form
from facegen.export.runtime import onnxruntime_web
from facegen.progress import SilentProgress
from facegen.types import SampleSpec
from facegen.vocabulary.headings import HEADINGS, OTHERS, under_headings
from facegen.vocabulary.words import ATTRIBUTE_WORDS, CELEBA

BOX = Path(__file__).parents[2] / "facegen" / "box"
OURS = Path(__file__).parents[2] / "facegen" / "export"
HOSTILE = "</script><img src=x onerror=alert(1)>"
DIT = {"kind": "dit", "patch_size": 2, "width": 32, "depth": 2, "num_heads": 2, "value_maps": True}
PATIENCE = 120_000  # milliseconds; for computers that do other work


class Opened:
    """A page opened as a file where there is no network, with what it asked for and complained of."""

    def __init__(self, browser: Any, out: Path, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.goto((out / "index.html").as_uri())

    def draw(self, count: int, seed: int) -> list[np.ndarray]:
        """The pictures (H, W, 3), as they are saved."""
        self.page.get_by_label("Faces", exact=True).and_(self.page.locator("input")).fill(str(count))
        self.page.get_by_label("Seed", exact=True).fill(str(seed))
        self.page.locator("#draw:enabled").click()
        self.page.locator("#status", has_text="seconds").wait_for()
        drawn = []
        for number in range(count):
            with self.page.expect_download() as saved:
                self.page.get_by_label(f"Save the face of seed {seed + number}").click()
            assert saved.value.suggested_filename == f"seed-{seed + number:08}.png"
            with Image.open(io.BytesIO(Path(saved.value.path()).read_bytes())) as picture:
                drawn.append(np.asarray(picture.convert("RGB")).astype(int))
        return drawn

    def stand(self, name: str, said: str) -> None:
        self.page.get_by_role("radiogroup", name=name, exact=True).get_by_label(said).check(force=True)


@pytest.fixture(scope="module")
def runtime() -> None:
    pytest.importorskip("onnxruntime", reason="graphs are run by onnxruntime: pip install 'facegen[onnx]'")
    try:
        onnxruntime_web(SilentProgress())
    except MissingModelError:
        pytest.skip("onnxruntime-web is not in facegen's cache and cannot be fetched now")


def test_random_numbers_are_torchs(browser: Any) -> None:
    page = browser.new_page()
    page.add_script_tag(path=OURS / "noise.js")
    for seed, counts in {0: (2048, 16), 1: (16, 23), 123456789: (100,), 2**32 - 1: (31, 700)}.items():
        generator = torch.Generator().manual_seed(seed)
        expected = [torch.randn(count, generator=generator) for count in counts]
        found = page.evaluate(
            """([seed, counts]) => {
                const noise = new Noise(seed);
                return counts.map(count => [...noise.normal(count)]);
            }""",
            [seed, counts],
        )
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.tensor(ours), theirs, atol=2e-6, rtol=0)
    page.close()


def test_the_form_finds_and_asks_attributes_whatever_they_are_called(browser: Any, tmp_path: Path) -> None:
    generator = tiny_generator()
    asked: Any = generator.conditioner
    asked.attributes = ("Smiling", "Black_Hair", HOSTILE)
    out = tmp_path / "out"
    (out / "model").mkdir(parents=True)
    sampling = generator.sampling.model_dump(mode="json")
    write_form(Exported(generator, None), {"sampling": sampling}, {"denoiser": 1}, out)
    found = Opened(browser, out, viewport={"width": 390, "height": 844})
    page = found.page
    assert (
        page.locator("#mistake")
        .inner_text()
        .endswith("model/denoiser-0.js cannot be read. Is the folder whole?")
    )
    assert page.locator("#switches h3").all_inner_texts() == ["Expression", "Hair", OTHERS]
    page.get_by_label("Find attributes").fill("img src")
    assert page.locator(".switch:visible .name").all_inner_texts() == [HOSTILE]
    assert page.locator("#switches h3:visible").all_inner_texts() == [OTHERS]
    assert page.locator("#switches").evaluate("box => box.scrollWidth - box.clientWidth") == 0
    found.stand(HOSTILE, "no")
    page.get_by_label("Find attributes").fill("hair")
    found.stand("Black Hair", "yes")
    assert page.locator(".chip").all_inner_texts() == ["Black Hair", f"no {HOSTILE}"]
    assert page.evaluate("wishes().map(each => [each.row, each.seed, each.steps, each.guidance])[3]") == [
        [0, 1, -1],
        3,
        generator.sampling.steps,
        generator.sampling.guidance_scale,
    ]
    page.locator(".chip").first.click()
    assert page.evaluate("wishes()[0].row") == [0, 0, -1]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [text for text in found.complaints if "denoiser-0.js" not in text and "ERR_FILE" not in text] == []
    found.context.close()


@pytest.mark.slow
def test_the_boxs_faces_in_the_browser_are_facegens(browser: Any, runtime: None, tmp_path: Path) -> None:
    told = export(BOX, tmp_path / "out", ExportOptions("page"), SilentProgress())
    assert told.deviation <= 1e-5
    generator = opened(BOX, "ema").generator
    found = Opened(browser, tmp_path / "out", accept_downloads=True)
    found.page.locator("#draw:enabled").wait_for()
    found.stand("Smiling", "yes")
    inputs = opened(BOX, "ema").inputs()
    for seeds, changed in (((0, 1), {}), ((2**32 - 2, 2**32 - 1), {"steps": 8, "guidance_scale": 1.5})):
        settings = generator.sampling.model_copy(update=changed)
        found.page.get_by_label("Steps").select_option(str(settings.steps))
        found.page.get_by_label("Guidance").fill(str(settings.guidance_scale))
        expected = generator.generate(inputs, seeds, settings).permute(0, 2, 3, 1).numpy().astype(int)
        for ours, theirs in zip(found.draw(2, seeds[0]), expected, strict=True):
            assert abs(ours - theirs).max() <= 1
            assert (ours != theirs).mean() < 1e-3
    assert {url.partition(":")[0] for url in found.asked} <= {"file", "blob", "data"}
    assert found.complaints == []
    found.context.close()


MODELS: dict[str, Any] = {
    "classes": (
        UNET,
        {"kind": "class_label", "dim": 16},
        "heun",
        {"clip_x0": 1.0, "guidance_interval": (0.2, 0.8)},
    ),
    "nothing": (UNET2D, {"kind": "none"}, "ddpm", {"clip_x0": 1.0}),
    "attributes": (DIT, {"kind": "attributes", "dim": 32}, "unipc", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_way_of_asking_and_walking_draws_the_same(
    name: str, browser: Any, runtime: None, tmp_path: Path
) -> None:
    denoiser, conditioner, sampler, settings = MODELS[name]
    sampling = {"steps": 4, "sampler": {"kind": sampler}, "guidance_scale": 2.0, **settings}
    run = save_run(
        tmp_path / "run", denoiser, conditioner, sampling=sampling, diffusion={"parameterisation": "v"}
    )
    told = export(run, tmp_path / "out", ExportOptions("page"), SilentProgress())
    assert told.deviation <= TOLERANCE
    model = opened(run, "ema")
    found = Opened(browser, tmp_path / "out", accept_downloads=True)
    found.page.locator("#draw:enabled").wait_for()
    if name == "classes":
        found.page.get_by_label("age").select_option("young")
    if name == "attributes":
        found.stand("Smiling", "yes")
    assert found.page.locator("#guided").is_visible() == (name != "nothing")
    expected = model.generator.generate(model.inputs(), (5, 6), model.generator.sampling)
    for ours, theirs in zip(found.draw(2, 5), expected.permute(0, 2, 3, 1).numpy().astype(int), strict=True):
        assert abs(ours - theirs).max() <= 1
    assert found.complaints == []
    found.context.close()


@pytest.mark.slow
def test_a_long_drawing_is_stopped(browser: Any, runtime: None, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", DIT, {"kind": "attributes", "dim": 32}, sampling={"steps": 4})
    export(run, tmp_path / "out", ExportOptions("page"), SilentProgress())
    found = Opened(browser, tmp_path / "out")
    found.page.get_by_label("Steps").select_option("100")
    found.page.locator("#draw:enabled").click()
    found.page.get_by_role("button", name="Stop").click()
    found.page.locator("#status", has_text="Stopped.").wait_for()
    assert found.page.locator(".waiting").count() == 0
    assert found.page.locator("#draw").inner_text() == "Draw"
    found.context.close()


def test_what_no_page_holds_says_what_does() -> None:
    generator = tiny_generator()
    few = replace(generator, sample_spec=SampleSpec((8,)))
    with pytest.raises(UsageError, match="--to diffusers"):
        check_page(Exported(few, None))
    captions = {**generator.described, "conditioner": {"kind": "text"}}
    with pytest.raises(UsageError, match="facegen studio"):
        check_page(Exported(replace(generator, described=captions), None))


def test_every_attribute_that_is_known_has_a_heading() -> None:
    known = {*ATTRIBUTE_WORDS, *CELEBA.attributes}
    assert known <= {name for each in HEADINGS.values() for name in each}
    assert json.loads(json.dumps(under_headings(("Bald", "Wings", "Smiling")))) == [
        ["Expression", [[2, "Smiling"]]],
        ["Hair", [[0, "Bald"]]],
        [OTHERS, [[1, "Wings"]]],
    ]
