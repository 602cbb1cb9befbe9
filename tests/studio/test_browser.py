"""The studio in a real browser: words in, pictures out, and nothing asked of any other host."""

import numpy as np
import pytest
from PIL import Image
from studio.studio_parts import running
from support.generator_parts import save_run

from facegen.progress import SilentProgress
from facegen.sampling.photos import read_photo
from facegen.sampling.png_settings import read_image_settings
from facegen.sampling.reproduce import ReproduceOptions, reproduce

pytest.importorskip("gradio", reason="the studio needs gradio: pip install 'facegen[web]'")
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Gradio's loops
PATIENCE = 60_000  # milliseconds; for computers that do other work


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def studio(run, tmp_path_factory):
    with running(run, tmp_path_factory.mktemp("studio")) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser, studio):
    """One page for all tests; whatever it asks for during any of them goes to the studio."""
    page = browser.new_page(accept_downloads=True)
    page.set_default_timeout(PATIENCE)
    page.asked, page.broken = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.broken.append(str(error)))
    page.on("console", lambda said: page.broken.append(said.text) if said.type == "error" else None)
    page.goto(studio)
    page.wait_for_selector("#prompt textarea")
    yield page
    assert [url for url in page.asked if not url.startswith((studio, "data:", "blob:"))] == []
    assert page.broken == []
    page.close()


def choose_way(page, name):
    page.get_by_label(name, exact=True).check(force=True)


def drawn(page):
    page.locator("#status", has_text="Done in").wait_for()
    return page.locator("#pictures img")


def downloaded(page, number, path):
    with page.expect_download() as download:
        page.locator("#pictures a.download").nth(number).click()
    assert download.value.suggested_filename.endswith(".png")
    download.value.save_as(path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).copy()


def test_a_switched_attribute_makes_two_pictures_of_one_noise_that_can_be_reproduced(page, run, tmp_path):
    page.fill("#prompt textarea", "a smiling man with wings")
    page.locator("#reading", has_text="Not understood").wait_for()
    assert "wings" in page.locator("#reading .chip.left").inner_text()
    choose_way(page, "Compare")
    page.locator("#changed").wait_for()
    page.get_by_label("Pictures").fill("1")
    page.click("#draw")
    pictures = drawn(page)
    assert pictures.count() == 2
    images = [downloaded(page, number, tmp_path / f"{number}.png") for number in (0, 1)]
    assert not np.array_equal(images[0], images[1])
    settings = [read_image_settings(tmp_path / f"{number}.png") for number in (0, 1)]
    assert [each.labels["Eyeglasses"] for each in settings] == [-1.0, 1.0]
    assert settings[0].seed == settings[1].seed

    options = ReproduceOptions(run=run, device="cpu", out=tmp_path / "again.png")
    reproduce(tmp_path / "1.png", options, SilentProgress())
    with Image.open(tmp_path / "again.png") as again:
        assert np.array_equal(np.asarray(again.convert("RGB")), images[1])


def test_each_phrase_says_what_it_asks_for_while_it_is_typed(page):
    page.fill("#prompt textarea", "")
    page.locator("#prompt textarea").press_sequentially("very happy, no glasses, hardly bald")
    tree = page.locator("#reading")
    tree.locator("li", has_text="hardly bald").wait_for()
    assert tree.locator("li").all_inner_texts() == [
        "happy Smiling; 'very' changes nothing",
        "no glasses no Eyeglasses",
        "hardly bald 'hardly' may turn the sense",
    ]


def test_a_prompt_that_is_refused_says_why_while_it_is_typed(page):
    page.fill("#prompt textarea", "smiling, not smiling")
    page.locator("#reading", has_text="Refused").wait_for()
    assert "asks for Smiling=1" in page.locator("#reading").inner_text()


def test_enter_draws_and_the_history_gives_settings_back(page, tmp_path):
    choose_way(page, "Faces")
    page.get_by_label("Pictures").fill("4")
    page.fill("#prompt textarea", "a smiling man")
    page.locator(".switch", has_text="Eyeglasses").locator("label", has_text="yes").click()
    page.get_by_label("Seed").first.fill("7")
    page.press("#prompt textarea", "Enter")
    page.locator("#pictures a.download").nth(3).wait_for()
    assert drawn(page).count() == 4
    before = downloaded(page, 0, tmp_path / "before.png")
    page.fill("#prompt textarea", "")
    page.locator(".switch", has_text="Eyeglasses").locator("label", has_text="no").click()
    page.get_by_label("Seed").first.fill("1")
    page.locator("#history button").first.click()
    page.locator("#status", has_text="Settings are back").wait_for()
    assert page.input_value("#prompt textarea") == "a smiling man"
    assert page.locator(".switch", has_text="Eyeglasses").get_by_label("yes").is_checked()
    page.click("#draw")
    drawn(page)
    assert np.array_equal(downloaded(page, 0, tmp_path / "after.png"), before)


def test_a_long_drawing_can_be_stopped_and_another_begun(page):
    choose_way(page, "Faces")
    page.get_by_text("Sampling", exact=True).click()  # makes its fields, and gives them values
    page.fill("#prompt textarea", "a smiling man")
    page.get_by_label("Pictures").fill("64")
    page.get_by_label("number input for Steps").fill("100")
    assert page.get_by_label("number input for Steps").input_value() == "100"
    page.press("#prompt textarea", "Enter")
    page.locator("#status", has_text="of 200").wait_for()
    page.click("#stop")
    page.locator("#status", has_text="Stopped").wait_for()
    page.get_by_label("number input for Steps").fill("2")
    page.get_by_label("Pictures").fill("1")
    page.click("#draw")
    page.locator("#status", has_text="Done in").wait_for()
    assert page.locator("#pictures a.download").count() == 1


def test_a_keyboard_is_enough(page):
    choose_way(page, "Faces")
    focus = "document.activeElement.closest('fieldset')?.ariaLabel"
    page.focus("#prompt textarea")
    page.keyboard.press("Tab")  # the lid of the attributes
    page.keyboard.press("Tab")
    first = page.evaluate(focus)
    page.keyboard.press("ArrowRight")
    assert page.locator(".switch", has_text=first).get_by_label("yes").is_checked()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    assert page.evaluate(focus) not in (first, None)  # one stop for an attribute, not three


def test_the_page_is_as_wide_before_the_first_drawing_as_after_it(browser, studio):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(studio)
    page.wait_for_selector("#prompt textarea")
    assert page.locator("#desk").bounding_box()["width"] > 1100
    page.close()


def test_nonsense_gets_a_friendly_answer(page):
    choose_way(page, "Faces")
    page.fill("#prompt textarea", "qwertz <b>flurb</b>")
    page.press("#prompt textarea", "Enter")
    page.locator("#status .mistake", has_text="This model knows").wait_for()
    assert page.locator("#status b").count() == 0
    page.get_by_label("Pictures").fill("1000")
    page.click("#draw")
    page.locator(
        "#status .mistake", has_text="The number of pictures must be from 1 to 64, not 1000"
    ).wait_for()
    choose_way(page, "Photo")
    page.get_by_label("Pictures").fill("1")
    page.click("#draw")
    page.locator("#status .mistake", has_text="Choose a photo first").wait_for()


def test_a_photo_is_edited_and_its_picture_dropped_on_the_page_brings_the_settings_back(page, tmp_path):
    choose_way(page, "Photo")
    photo = tmp_path / "me.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(photo)
    page.set_input_files("#photo input[type=file]", photo)
    page.locator("#photo-shown img").wait_for()
    page.fill("#prompt textarea", "a smiling man")
    page.fill("#seen textarea", "glasses")
    page.locator(".switch", has_text="Eyeglasses").locator("label", has_text="any").click()
    page.get_by_label("number input for Strength").fill("0.5")
    page.click("#draw")
    assert drawn(page).count() == 1
    downloaded(page, 0, tmp_path / "edited.png")
    edited = read_image_settings(tmp_path / "edited.png").edit
    assert edited is not None
    assert (edited.told, edited.wanted) == ({"Eyeglasses": 1.0}, {"Smiling": 1.0, "Male": 1.0})

    choose_way(page, "Faces")
    page.fill("#prompt textarea", "")
    dropped = page.evaluate_handle(
        """(bytes) => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(bytes)], "edited.png", {type: "image/png"}));
          return files;
        }""",
        list((tmp_path / "edited.png").read_bytes()),
    )
    page.dispatch_event("#results", "dragover", {"dataTransfer": dropped})
    page.dispatch_event("#results", "drop", {"dataTransfer": dropped})
    page.locator("#status", has_text="The settings of edited.png are back").wait_for()
    assert "Choose the photo me.png again" in page.locator("#status").inner_text()
    page.locator("#seen").wait_for()
    assert page.input_value("#prompt textarea") == "a smiling man"
    assert page.get_by_label("number input for Strength").input_value() == "0.5"


def test_a_photo_changes_only_where_it_was_painted_over(page, run, tmp_path):
    choose_way(page, "Photo")
    photo = tmp_path / "wide.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 24, 3), dtype=np.uint8)).save(photo)
    page.set_input_files("#photo input[type=file]", photo)
    page.locator("#photo-shown figcaption", has_text="wide.png").wait_for()
    page.fill("#prompt textarea", "a smiling man")
    page.get_by_label("number input for Strength").fill("1")
    page.locator("#photo-shown .brush").fill("25")
    canvas = page.locator("#photo-shown canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + box["height"] - 2, steps=5)
    page.mouse.up()
    page.click("#draw")  # at once: it waits for the mask
    page.locator("#status", has_text="Done in").wait_for()
    edited = downloaded(page, 0, tmp_path / "edited.png")
    with page.expect_download() as download:
        page.locator("#mask-shown a").click()
    download.value.save_as(tmp_path / download.value.suggested_filename)
    mask = read_photo(next(tmp_path.glob("mask-*.png")), "center", 16).image[0].numpy()
    assert (mask[:, 3:5] == 255).all(), "painted around a quarter of the square, which begins at column 4"
    assert (mask[:, 8:] < 4).all(), "but for what a resize rings"
    differs = (edited != read_photo(photo, "center", 16).image.permute(1, 2, 0).numpy()).any(2)
    assert differs[:, 3:5].any()
    assert not differs[mask == 0].any()

    photos = (photo, *tmp_path.glob("mask-*.png"))
    again = ReproduceOptions(run=run, device="cpu", photos=photos, out=tmp_path / "again.png")
    assert reproduce(tmp_path / "edited.png", again, SilentProgress()).closeness.identical
    pen = "document.querySelector('#photo-shown canvas').getContext('2d')"
    is_painted = f"{pen}.getImageData(0, 0, 512, 512).data.some(Boolean)"
    page.click("#clear-mask")
    page.wait_for_function(f"!{is_painted}")
    page.locator("#history button").first.click()
    page.wait_for_function(is_painted)
    page.click("#clear-mask")
    page.wait_for_function(f"!{is_painted}")


def test_a_phone_shows_it_without_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for way in ("Compare", "Blend", "Photo", "Faces"):
        choose_way(page, way)
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
