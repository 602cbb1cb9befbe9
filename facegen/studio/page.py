"""The studio's page: Gradio components, and what happens when they are used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.themes import Base, Color

from facegen.errors import FacegenError
from facegen.studio import shown
from facegen.studio.drawing import Drawn, Preview
from facegen.studio.folder import tidy
from facegen.studio.guard import Events
from facegen.studio.history import History
from facegen.studio.model_process import About, ModelProcess
from facegen.studio.panel import Panel
from facegen.studio.recalled import recalled
from facegen.studio.state import MAX_CHARACTERS, TOO_LONG, Wish, photo_of
from facegen.studio.windows import Windows

CSS_FILE = Path(__file__).with_name("page.css")
SCRIPTS = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.js", "paint.js")]
HEAD = "".join(f"<script>{script}</script>" for script in SCRIPTS)
TEAL = Color(
    "#f0f7f6", "#d9ebea", "#b4d6d4", "#86bbb9", "#579b9a", "#3d8385", "#2f6f73", "#275a5e", "#214a4d",
    "#1d3e41", "#0f2527", name="teal",
)  # fmt: skip
FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
QUICK: dict[str, Any] = {**PRIVATE, "queue": False}
PAINTED_PIXELS = 512  # of the square that is painted on, as in paint.js
HISTORY = "history"
MAX_RANDOM_SEED = 999_999  # short enough to read out
MAX_SESSIONS = 64  # of which Gradio keeps its copy of the page's controls
MAX_WAITING = 32  # events in the queue, of which drawings are fewer


def theme() -> Base:
    """facegen's colours in Gradio, with the fonts that the computer has."""
    return Base(primary_hue=TEAL, neutral_hue="stone", font=FONT, font_mono=MONO, radius_size="lg")


def build_page(model: ModelProcess, name: str, folder: Path, windows: Windows) -> tuple[gr.Blocks, Events]:
    """The page for one model and the numbers of its events; pictures of the history are kept in `folder`."""
    with gr.Blocks(title=f"facegen studio: {name}", analytics_enabled=False) as page:
        studio = _Studio(model, name, folder, windows)
        studio.wire(page)
    page.state_session_capacity = MAX_SESSIONS
    page.queue(max_size=MAX_WAITING)
    queued = frozenset(number for number, event in page.fns.items() if event.queue)
    drawing = frozenset(number for number, event in page.fns.items() if event.fn == studio.draw)
    return page, Events(frozenset(page.fns), queued, drawing)


class _Studio:
    """The page's components, and what its events call, which answers with component -> value."""

    def __init__(self, model: ModelProcess, name: str, folder: Path, windows: Windows) -> None:
        """Build the components into the Blocks that is open."""
        self._model, self._folder, self._windows = model, folder, windows
        (folder / HISTORY).mkdir(exist_ok=True)
        self._history = History()
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
        panel.new_seed.click(self.new_seed, None, panel.seed, **QUICK)
        photo = [panel.photo, panel.crop]
        gr.on([panel.photo.change, panel.crop.change], self.show_photo, photo, panel.photo_shown, **PRIVATE)
        mask = [panel.mask, panel.crop]
        gr.on([panel.mask.upload, panel.crop.change], self.show_mask, mask, panel.mask_shown, **PRIVATE)
        anew = [panel.photo.upload, panel.photo.clear, panel.clear_mask.click]  # it was another photo's
        gr.on(anew, self.clear_mask, None, [panel.mask, panel.mask_shown], **QUICK)
        told = [status, panel.mask_shown, *panel.components]
        self.history.select(self.again, None, told, **QUICK)
        self.recall_button.upload(self.recall, self.recall_button, told, **PRIVATE)
        page.load(self.shelf, None, shelf, **QUICK)

    def begin(self, request: gr.Request) -> Any:
        """The status of a drawing that waits for another one, such as one in a second window."""
        if self._windows.is_alone(request.session_hash or ""):
            return gr.skip()
        return gr.update(value=shown.status("Waiting for the drawings before this one ..."))

    def stop(self, request: gr.Request) -> None:
        """End the window's own drawing at its next step; `draw` then says so.

        Only `draw` does: two events answer in any order, and so would Gradio's way of cancelling one.
        """
        self._windows.stop(request.session_hash or "")

    def draw(self, values: dict[Any, Any], request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Status, pictures, history and whether it is shown, again and again while sampling runs.

        A window that hears nothing, or is slow to, is spared the previews.
        """
        window = request.session_hash or ""
        try:
            yield updates({self.status: shown.status("Starting ...")})
            wish, drawn = self.panel.wish(values), None
            if self._windows.wait(window):
                for drawing in self._model.draw(wish, lambda: self._windows.is_over(window)):
                    if isinstance(drawing, Drawn):
                        drawn = drawing
                    elif self._windows.hears(window):
                        yield self._preview(drawing)
            if drawn is None:
                yield updates({self.status: shown.status("Stopped.")})
            elif self._windows.wait(window):
                yield self._finished(wish, drawn)
        except FacegenError as error:
            yield updates({self.status: shown.mistake(str(error))})
        finally:
            self._windows.release(window)

    def _preview(self, preview: Preview) -> dict[Any, Any]:
        told = f"Step {preview.step} of {preview.num_steps}"
        status = shown.status(told, preview.step / preview.num_steps)
        return updates({self.status: status, self.pictures: shown.picture_grid(preview)})

    def _finished(self, wish: Wish, drawn: Drawn) -> dict[Any, Any]:
        self._history.add(wish, drawn.pictures[0])
        tidy(self._folder)
        told = shown.status(f"Done in {drawn.seconds:.1f} seconds: {wish.title}.")
        return {**updates({self.status: told, self.pictures: shown.picture_grid(drawn)}), **self.shelf()}

    def new_seed(self) -> Any:
        """A seed that was not asked for."""
        return gr.update(value=random.randint(0, MAX_RANDOM_SEED))

    def read(self, prompt: str) -> str:
        """What the model makes of the words, while they are typed."""
        if len(prompt or "") > MAX_CHARACTERS:
            return shown.mistake(TOO_LONG.format("The prompt"))
        return shown.read(self._model.read(prompt or ""))

    def show_photo(self, path: str | None, crop: str) -> str:
        """The photo as the model sees it, or what is wrong with it."""
        if not path:
            return ""
        about = self._model.about
        try:
            photo = photo_of(Path(path), crop, about.image_size)
        except FacegenError as error:
            return shown.mistake(str(error))
        return shown.photo_to_paint(photo) if about.controls.places else shown.photo_figure(photo)

    def show_mask(self, path: str | None, crop: str) -> str:
        """The mask as it lies over the photo, or what is wrong with it."""
        if not path:
            return ""
        try:
            mask = photo_of(Path(path), crop, PAINTED_PIXELS)
        except FacegenError as error:
            return shown.mistake(str(error))
        return shown.mask_figure(mask, f"/gradio_api/file={quote(path)}")

    def clear_mask(self) -> dict[Any, Any]:
        """No mask, so that the photo may change everywhere."""
        return updates({self.panel.mask: None, self.panel.mask_shown: ""})

    def shelf(self) -> dict[Any, Any]:
        """The history's pictures, and whether there are any."""
        items = []
        for entry in self._history.entries:
            path = self._folder / HISTORY / f"history-{entry.number:05d}.png"
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
        return self._set(wish, told)

    def recall(self, path: str) -> dict[Any, Any]:
        """The settings that a PNG carries, back in the controls."""
        about, file = self._model.about, Path(path)
        try:
            wish, settings = recalled(file, about.controls)
        except FacegenError as error:
            return updates({self.status: shown.mistake(str(error))})
        notes = [f"The settings of {file.name} are back: {wish.title}."]
        if settings.model_sha256 != about.model_sha256:
            notes.append("It was drawn by another model.")
        named = zip(("photo", "mask"), settings.photos, strict=False)
        files = " and ".join(f"the {kind} {one.file}" for kind, one in named)
        notes += [f"Choose {files} again."] if files else []
        return self._set(wish, shown.status(" ".join(notes)))

    def _set(self, wish: Wish, told: str) -> dict[Any, Any]:
        """The wish in the controls, and the status."""
        mask = self.show_mask(str(wish.mask) if wish.mask else None, wish.crop)
        return updates({self.status: told, self.panel.mask_shown: mask, **self.panel.values(wish)})


def updates(values: dict[Any, Any]) -> dict[Any, Any]:
    """The values as updates of their components.

    Gradio leaves one more component in a window's session, with all that it shows, whenever a plain value
    comes after an update or after nothing; the next update takes the place of the last.
    """
    return {component: gr.update(value=value) for component, value in values.items()}


def _heading(about: About, name: str) -> str:
    size, step = about.image_size, about.step
    facts = [name, f"{size} × {size} pixels", *([f"step {step:,}"] if step else []), about.device]
    return f"<h1>facegen studio</h1><p>{escape(' · '.join(facts))}</p>"
