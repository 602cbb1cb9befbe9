"""The studio's page: Gradio components, and what happens when they are used."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes import Base, Color

from facegen.errors import FacegenError
from facegen.studio import shown
from facegen.studio.drawing import Drawn
from facegen.studio.history import History
from facegen.studio.model_process import About, ModelProcess
from facegen.studio.panel import Panel
from facegen.studio.state import photo_of

CSS_FILE = Path(__file__).with_name("page.css")
HEAD = f"<script>{Path(__file__).with_name('page.js').read_text(encoding='utf-8')}</script>"
TEAL = Color(
    "#f0f7f6", "#d9ebea", "#b4d6d4", "#86bbb9", "#579b9a", "#3d8385", "#2f6f73", "#275a5e", "#214a4d",
    "#1d3e41", "#0f2527", name="teal",
)  # fmt: skip
FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
QUICK: dict[str, Any] = {**PRIVATE, "queue": False}
MAX_RANDOM_SEED = 999_999  # short enough to read out


def theme() -> Base:
    """facegen's colours in Gradio, with the fonts that the computer has."""
    return Base(primary_hue=TEAL, neutral_hue="stone", font=FONT, font_mono=MONO, radius_size="lg")


def build_page(model: ModelProcess, name: str, folder: Path) -> gr.Blocks:
    """The page for one model; pictures of the history are kept in `folder`."""
    studio = _Studio(model, folder)
    with gr.Blocks(title=f"facegen studio: {name}", analytics_enabled=False) as page:
        gr.HTML(_heading(model.about, name), elem_id="heading")
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=5, min_width=300, elem_id="controls"):
                panel = Panel(model.about.controls)
                with gr.Row(elem_id="actions"):
                    draw = gr.Button("Draw", variant="primary", elem_id="draw")
                    stop = gr.Button("Stop", elem_id="stop", scale=0, min_width=90)
            with gr.Column(scale=7, min_width=300, elem_id="results"):
                status = gr.HTML(elem_id="status")
                pictures = gr.HTML(shown.nothing_yet(), elem_id="pictures")
                with gr.Column(visible=False, elem_id="past") as past:
                    gr.HTML("<h2>History</h2><p>Choose one to get its settings back.</p>")
                    history = gr.Gallery(
                        show_label=False, label="History", columns=6, allow_preview=False, buttons=[],
                        object_fit="contain", elem_id="history", interactive=False,
                    )  # fmt: skip
        _wire(page, studio, panel, draw, stop, (status, pictures, history, past))
    return page


def _wire(
    page: gr.Blocks, studio: _Studio, panel: Panel, draw: Any, stop: Any, shown_in: tuple[Any, ...]
) -> None:
    """Tie the components to what they do."""
    status, pictures, history, past = shown_in
    studio.panel = panel
    submits = [field.submit for field in (panel.prompt, panel.negative, panel.seed, panel.count)]
    if isinstance(panel.changed, gr.Textbox):
        submits.append(panel.changed.submit)
    gr.on([draw.click, *submits], studio.begin, None, status, **QUICK)
    gr.on(
        [draw.click, *submits],
        studio.draw,
        panel.components,
        [status, pictures, history, past],
        trigger_mode="once",
        **ONE_AT_A_TIME,
        **PRIVATE,
    )
    stop.click(studio.stop, None, None, **QUICK)
    panel.way.change(panel.visible_groups, panel.way, panel.groups, **QUICK)
    panel.prompt.change(studio.read, panel.prompt, panel.reading, trigger_mode="always_last", **QUICK)
    panel.new_seed.click(lambda: random.randint(0, MAX_RANDOM_SEED), None, panel.seed, **QUICK)
    gr.on(
        [panel.photo.change, panel.crop.change],
        studio.show_photo,
        [panel.photo, panel.crop],
        panel.photo_shown,
        **PRIVATE,
    )
    history.select(studio.again, None, [status, *panel.components], **QUICK)
    page.load(studio.shelf, None, [history, past], **QUICK)


class _Studio:
    """What the page's events call; answers are values of components."""

    def __init__(self, model: ModelProcess, folder: Path) -> None:
        self.panel: Any = None
        self._model, self._folder = model, folder
        self._history = History()
        self._drawing = False
        self._asking: set[str | None] = set()  # sessions, that is windows, with a drawing that runs or waits
        self._stopped: set[str | None] = set()

    def begin(self, request: gr.Request) -> Any:
        """The status of a drawing that waits for another one, such as one in a second window."""
        if not self._drawing:
            return gr.skip()
        self._asking.add(request.session_hash)  # a stop stays: this may come later than it
        return shown.status("Waiting for the drawing before this one ...")

    def stop(self, request: gr.Request) -> None:
        """End the window's own drawing at its next step; `draw` then says so.

        Only `draw` does: two events answer in any order, and so would Gradio's way of cancelling one.
        """
        if request.session_hash in self._asking:
            self._stopped.add(request.session_hash)

    def draw(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Status, pictures, history and whether it is shown, again and again while sampling runs."""
        self._drawing = True
        window = request.session_hash
        self._asking.add(window)
        try:
            done = yield from self._draw(values, lambda: window in self._stopped)
            if not done:
                yield shown.status("Stopped."), gr.skip(), gr.skip(), gr.skip()
        except FacegenError as error:
            yield shown.mistake(str(error)), gr.skip(), gr.skip(), gr.skip()
        finally:
            self._drawing = False
            self._asking.discard(window)
            self._stopped.discard(window)

    def _draw(
        self, values: tuple[Any, ...], stopped: Callable[[], bool]
    ) -> Generator[tuple[Any, ...], None, bool]:
        """The same; returns whether it came to its end."""
        wish = self.panel.wish(values)
        yield shown.status("Starting ..."), gr.skip(), gr.skip(), gr.skip()
        for drawing in self._model.draw(wish, stopped):
            grid = shown.picture_grid(drawing, drawing.columns)
            if isinstance(drawing, Drawn):
                self._history.add(wish, drawing.pictures[0])
                told = f"Done in {drawing.seconds:.1f} seconds: {wish.title}."
                yield shown.status(told), grid, *self.shelf()
                return True
            told = f"Step {drawing.step} of {drawing.num_steps}"
            yield shown.status(told, drawing.step / drawing.num_steps), grid, gr.skip(), gr.skip()
        return False

    def read(self, prompt: str) -> str:
        """What the model makes of the words, while they are typed."""
        return shown.understood(self._model.read(prompt or ""))

    def show_photo(self, path: str | None, crop: str) -> str:
        """The photo as the model sees it, or what is wrong with it."""
        if not path:
            return ""
        try:
            photo = photo_of(Path(path), crop, self._model.about.image_size)
        except FacegenError as error:
            return shown.mistake(str(error))
        return shown.photo_figure(photo.image, photo.name)

    def shelf(self) -> tuple[Any, Any]:
        """The history's pictures, and whether there are any."""
        entries = self._history.entries
        items = []
        for entry in entries:
            path = self._folder / f"history-{entry.number:05d}.png"
            if not path.exists():
                path.write_bytes(entry.picture.png)
            items.append((str(path), entry.wish.title))
        return gr.update(value=items, selected_index=None), gr.update(visible=bool(items))

    def again(self, event: gr.SelectData) -> list[Any]:
        """The settings of a chosen picture, back in the controls."""
        index = event.index if isinstance(event.index, int) else 0
        entries = self._history.entries
        if index >= len(entries):
            return [gr.skip()] * (1 + len(self.panel.components))
        wish = entries[index].wish
        told = shown.status(f"Settings are back: {wish.title}. Draw makes the same pictures again.")
        return [told, *self.panel.values(wish)]


def _heading(about: About, name: str) -> str:
    size, step = about.image_size, about.step
    facts = [name, f"{size} × {size} pixels", *([f"step {step:,}"] if step else []), about.device]
    return f"<h1>facegen studio</h1><p>{escape(' · '.join(facts))}</p>"
