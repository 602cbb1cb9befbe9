"""The studio's page: Gradio components, and what happens when they are used."""

from __future__ import annotations

import random
from collections.abc import Iterator
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
from facegen.studio.recalled import recalled
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
    with gr.Blocks(title=f"facegen studio: {name}", analytics_enabled=False) as page:
        _Studio(model, name, folder).wire(page)
    return page


class _Studio:
    """The page's components, and what its events call, which answers with component -> value."""

    def __init__(self, model: ModelProcess, name: str, folder: Path) -> None:
        """Build the components into the Blocks that is open."""
        self._model, self._folder = model, folder
        self._history = History()
        self._drawing = False
        self._asking: set[str | None] = set()  # sessions, that is windows, with a drawing that runs or waits
        self._stopped: set[str | None] = set()
        gr.HTML(_heading(model.about, name), elem_id="heading")
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=5, min_width=300, elem_id="controls"):
                self.panel = Panel(model.about.controls)
                with gr.Row(elem_id="actions"):
                    self.draw_button = gr.Button("Draw", variant="primary", elem_id="draw")
                    self.stop_button = gr.Button("Stop", elem_id="stop", scale=0, min_width=90)
                self.recall_button = gr.UploadButton(
                    "Settings from a picture", file_types=[".png"], size="sm", elem_id="recall"
                )
            with gr.Column(scale=7, min_width=300, elem_id="results"):
                self.status = gr.HTML(elem_id="status")
                self.pictures = gr.HTML(shown.nothing_yet(), elem_id="pictures")
                with gr.Column(visible=False, elem_id="past") as self.past:
                    gr.HTML("<h2>History</h2><p>Choose one to get its settings back.</p>")
                    self.history = gr.Gallery(
                        show_label=False, label="History", columns=6, allow_preview=False, buttons=[],
                        object_fit="contain", elem_id="history", interactive=False,
                    )  # fmt: skip

    def wire(self, page: gr.Blocks) -> None:
        """Tie the components to what they do."""
        panel, status, shelf = self.panel, self.status, [self.history, self.past]
        submits = [field.submit for field in (panel.prompt, panel.negative, panel.seed, panel.count)]
        if isinstance(panel.changed, gr.Textbox):
            submits.append(panel.changed.submit)
        drawing: dict[str, Any] = {"trigger_mode": "once", **ONE_AT_A_TIME, **PRIVATE}
        gr.on([self.draw_button.click, *submits], self.begin, None, status, **QUICK)
        gr.on(
            [self.draw_button.click, *submits],
            self.draw,
            panel.components,
            {status, self.pictures, *shelf},
            **drawing,
        )
        self.stop_button.click(self.stop, None, None, **QUICK)
        panel.way.change(panel.visible_groups, panel.way, panel.groups, **QUICK)
        panel.prompt.change(self.read, panel.prompt, panel.reading, trigger_mode="always_last", **QUICK)
        panel.new_seed.click(lambda: random.randint(0, MAX_RANDOM_SEED), None, panel.seed, **QUICK)
        photo = [panel.photo, panel.crop]
        gr.on([panel.photo.change, panel.crop.change], self.show_photo, photo, panel.photo_shown, **PRIVATE)
        self.history.select(self.again, None, [status, *panel.components], **QUICK)
        self.recall_button.upload(self.recall, self.recall_button, [status, *panel.components], **PRIVATE)
        page.load(self.shelf, None, shelf, **QUICK)

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

    def draw(self, values: dict[Any, Any], request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Status, pictures, history and whether it is shown, again and again while sampling runs."""
        self._drawing = True
        window = request.session_hash
        self._asking.add(window)
        try:
            yield {self.status: shown.status("Starting ...")}
            wish = self.panel.wish(values)
            drawing = None
            for drawing in self._model.draw(wish, lambda: window in self._stopped):
                grid = {self.pictures: shown.picture_grid(drawing)}
                if isinstance(drawing, Drawn):
                    self._history.add(wish, drawing.pictures[0])
                    told = f"Done in {drawing.seconds:.1f} seconds: {wish.title}."
                    yield {self.status: shown.status(told), **grid, **self.shelf()}
                else:
                    told = f"Step {drawing.step} of {drawing.num_steps}"
                    yield {self.status: shown.status(told, drawing.step / drawing.num_steps), **grid}
            if not isinstance(drawing, Drawn):
                yield {self.status: shown.status("Stopped.")}
        except FacegenError as error:
            yield {self.status: shown.mistake(str(error))}
        finally:
            self._drawing = False
            self._asking.discard(window)
            self._stopped.discard(window)

    def read(self, prompt: str) -> str:
        """What the model makes of the words, while they are typed."""
        return shown.read(self._model.read(prompt or ""))

    def show_photo(self, path: str | None, crop: str) -> str:
        """The photo as the model sees it, or what is wrong with it."""
        if not path:
            return ""
        try:
            photo = photo_of(Path(path), crop, self._model.about.image_size)
        except FacegenError as error:
            return shown.mistake(str(error))
        return shown.photo_figure(photo.image, photo.name)

    def shelf(self) -> dict[Any, Any]:
        """The history's pictures, and whether there are any."""
        items = []
        for entry in self._history.entries:
            path = self._folder / f"history-{entry.number:05d}.png"
            if not path.exists():
                path.write_bytes(entry.picture.png)
            items.append((str(path), entry.wish.title))
        return {
            self.history: gr.update(value=items, selected_index=None),
            self.past: gr.update(visible=bool(items)),
        }

    def again(self, event: gr.SelectData) -> dict[Any, Any]:
        """The settings of a chosen picture, back in the controls."""
        index = event.index if isinstance(event.index, int) else 0
        entries = self._history.entries
        if index >= len(entries):
            return {self.status: gr.skip()}
        wish = entries[index].wish
        told = shown.status(f"Settings are back: {wish.title}. Draw makes the same pictures again.")
        return {self.status: told, **self.panel.values(wish)}

    def recall(self, path: str) -> dict[Any, Any]:
        """The settings that a PNG carries, back in the controls."""
        about, file = self._model.about, Path(path)
        try:
            wish, settings = recalled(file, about.controls)
        except FacegenError as error:
            return {self.status: shown.mistake(str(error))}
        notes = [f"The settings of {file.name} are back: {wish.title}."]
        if settings.model_sha256 != about.model_sha256:
            notes.append("It was drawn by another model.")
        notes += [f"Choose the photo {photo.file} again." for photo in settings.photos[:1]]
        return {self.status: shown.status(" ".join(notes)), **self.panel.values(wish)}


def _heading(about: About, name: str) -> str:
    size, step = about.image_size, about.step
    facts = [name, f"{size} × {size} pixels", *([f"step {step:,}"] if step else []), about.device]
    return f"<h1>facegen studio</h1><p>{escape(' · '.join(facts))}</p>"
