"""The studio's switches: built for one model, read as a `Wish`, and set back to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from facegen.config.kinds import kinds_of
from facegen.studio.state import CROPS, Controls, Wish, shown

WAYS = {"faces": "Faces", "compare": "Compare", "blend": "Blend", "photo": "Photo"}
STANDS: list[tuple[str, str | int | float]] = [("any", "open"), ("yes", "yes"), ("no", "no")]
CROP_NAMES = {"center": "middle", "face": "aligned CelebA photo", "none": "square already"}
BLEND_ROWS = 3  # where the parts are words; classes get one row each, up to
MAX_CLASS_ROWS = 12
READ: dict[str, Callable[[Any], Any]] = {"photo": Path, "mask": Path, "count": int, "seed": int, "steps": int}
TELLING = ("Smiling", "Eyeglasses")  # show best what a blend is


class Panel:
    """Every control of the page; those that do not fit the model are hidden."""

    def __init__(self, controls: Controls) -> None:
        """Build the controls into the Blocks that is open."""
        self.controls = controls
        self.way = gr.Radio(
            [(WAYS[way], way) for way in controls.ways],
            value=controls.ways[0],
            show_label=False,
            label="What to draw",
            elem_classes="ways",
            container=False,
            visible=len(controls.ways) > 1,
        )
        self._build_words()
        self._build_changed()
        self._build_blend()
        self._build_photo()
        with gr.Row(elem_classes="numbers"):
            # without limits of Gradio's own, whose message does not say which number is meant
            self.count = gr.Number(4, label="Pictures", precision=0, min_width=80)
            self.seed = gr.Number(0, label="Seed", precision=0, min_width=90)
            self.new_seed = gr.Button("New seed", size="sm", min_width=80, elem_classes="new-seed")
        self._build_sampling()
        self._fields: dict[str, Any] = {  # of a `Wish` -> what says it
            "way": self.way, "prompt": self.prompt, "class_name": self.class_name, "changed": self.changed,
            "photo": self.photo, "crop": self.crop, "seen": self.seen,
            "strength": self.strength, "pull": self.pull, "mask": self.mask, "region": self.region,
            "negative": self.negative, "count": self.count, "seed": self.seed, "guidance": self.guidance,
            "steps": self.steps, "sampler": self.sampler,
        }  # fmt: skip

    @property
    def components(self) -> set[Any]:
        """All whose values make a wish."""
        return {*self._fields.values(), *self.switches, *self.terms, *self.weights}

    def wish(self, values: Mapping[Any, Any]) -> Wish:
        """The wish that these values of `components` make."""
        told = {name: values[component] for name, component in self._fields.items()}
        said = {name: value for name, value in told.items() if value not in (None, "")}
        return Wish(
            **{name: READ[name](value) if name in READ else value for name, value in said.items()},
            attributes=dict(
                zip(self.controls.attributes, (values[switch] for switch in self.switches), strict=True)
            ),
            parts=tuple(
                (values[term] or "", float(values[weight] or 0))
                for term, weight in zip(self.terms, self.weights, strict=True)
            ),
        )

    def values(self, wish: Wish) -> dict[Any, Any]:
        """What to set `components` to so that they say `wish`."""
        names = zip(self.controls.attributes, self.switches, strict=True)
        return {
            **{component: getattr(wish, name) for name, component in self._fields.items()},
            self.changed: wish.changed or None,
            self.photo: str(wish.photo) if wish.photo else None,
            self.mask: str(wish.mask) if wish.mask else None,
            **{switch: wish.attributes.get(name, "open") for name, switch in names},
            **dict(zip(self.terms, (term for term, _ in wish.parts), strict=False)),
            **dict(zip(self.weights, (weight for _, weight in wish.parts), strict=False)),
        }

    @property
    def groups(self) -> list[Any]:
        """What is shown or hidden with the way of asking."""
        return [self.words, self.comparison, self.blending, self.photos]

    def visible_groups(self, way: str) -> list[Any]:
        """Updates of `groups` for that way."""
        visible = (self._asks_words(way), way == "compare", way == "blend", way == "photo")
        return [gr.update(visible=each) for each in visible]

    def _asks_words(self, way: str) -> bool:
        return way in ("faces", "compare") or (way == "photo" and self.controls.edits)

    def _build_words(self) -> None:
        controls = self.controls
        with gr.Column(visible=self._asks_words(controls.ways[0]), elem_classes="group") as self.words:
            self.prompt = gr.Textbox(
                label="Prompt",
                placeholder="a smiling woman with glasses" if controls.attributes else "in your own words",
                visible=controls.takes_prompt,
                autofocus=True,
                max_length=500,
                elem_id="prompt",
            )
            self.reading = gr.HTML(visible=controls.takes_prompt, elem_id="reading")
            self.class_name = gr.Dropdown(
                [("any", ""), *((name, name) for name in controls.classes)],
                value="",
                label="Class",
                visible=bool(controls.classes),
                elem_id="class",
            )
            opened = len(controls.attributes) <= 20
            with (
                gr.Accordion("Attributes", open=opened, visible=bool(controls.attributes)),
                gr.Column(elem_classes="switches"),
            ):
                self.switches = [
                    gr.Radio(STANDS, value="open", label=shown(name), elem_classes="switch")
                    for name in controls.attributes
                ]

    def _build_changed(self) -> None:
        controls = self.controls
        with gr.Column(visible=False, elem_classes="group") as self.comparison:
            info = "Both sides start from the same noise."
            if controls.attributes or controls.classes:
                choices = [(shown(name), name) for name in controls.attributes] or list(controls.classes)
                label = "Switch this attribute" if controls.attributes else "Compare with"
                self.changed: Any = gr.Dropdown(
                    choices, value=_first_to_switch(controls), label=label, info=info, elem_id="changed"
                )
            else:
                self.changed = gr.Textbox(label="Compare with", info=info, max_length=500, elem_id="changed")

    def _build_blend(self) -> None:
        classes = self.controls.classes[:MAX_CLASS_ROWS]
        known = classes or self.controls.attributes
        telling = sorted(known, key=lambda name: name not in TELLING)[:2]
        defaults = list(classes) or [*telling, *[""] * BLEND_ROWS][:BLEND_ROWS]
        self.terms: list[Any] = []
        self.weights: list[Any] = []
        with gr.Column(visible=False, elem_classes="group") as self.blending:
            for number, term in enumerate(defaults, start=1):
                with gr.Row(elem_classes="blend-row"):
                    self.terms.append(
                        gr.Dropdown(
                            [(shown(name), name) for name in known],
                            value=term or None,
                            label=f"Part {number}",
                            allow_custom_value=not classes,
                            visible=not classes,
                            min_width=120,
                        )
                    )
                    weight = 50 if number <= 2 else 0
                    name = shown(term) if classes else f"Share {number}"
                    self.weights.append(
                        gr.Slider(0, 100, value=weight, step=1, label=name, buttons=[], min_width=140)
                    )

    def _build_photo(self) -> None:
        why_not = self.controls.why_no_photos
        with gr.Column(visible=self.controls.ways[0] == "photo", elem_classes="group") as self.photos:
            gr.HTML(f'<p class="cannot">{why_not}</p>', visible=bool(why_not))
            self.photo = gr.File(
                label="Photo", file_types=["image"], visible=not why_not, height=140, elem_id="photo"
            )
            self.crop = gr.Dropdown(
                [(CROP_NAMES[crop], crop) for crop in CROPS], value=CROPS[0], label="Cut", visible=not why_not
            )
            edits = self.controls.edits
            self.photo_shown = gr.HTML(visible=not why_not, elem_id="photo-shown")
            self._build_mask()
            self.seen = gr.Textbox(
                label="What the photo shows",
                info="What is known stays as it is; what is not may change too.",
                placeholder="a serious man with black hair",
                visible=edits and self.controls.takes_prompt,
                max_length=500,
                elem_id="seen",
            )
            self.strength = gr.Slider(
                0.05, 1, value=0.8, step=0.05, label="Strength", buttons=[], visible=edits,
                info="How far into noise: a mouth needs less, hair needs more.",
            )  # fmt: skip
            self.pull = gr.Slider(
                1, 8, value=3, step=0.5, label="Pull", buttons=[], visible=edits,
                info="How hard to pull from what the photo shows to what is asked.",
            )  # fmt: skip
            self.region = gr.Slider(
                0, 1, value=0, step=0.05, label="Share that may change", buttons=[],
                visible=self.controls.places,
                info="Found where the request shows most, without painting; 0 is off.",
            )  # fmt: skip

    def _build_mask(self) -> None:
        """What is painted over the photo is uploaded as a mask from a file is."""
        with gr.Row(visible=self.controls.places, elem_classes="mask-row"):
            self.mask = gr.UploadButton(
                "Mask from a file", file_types=["image"], size="sm", min_width=80, elem_id="mask"
            )
            self.clear_mask = gr.Button("Clear mask", size="sm", min_width=80, elem_id="clear-mask")
        self.mask_shown = gr.HTML(visible=self.controls.places, elem_id="mask-shown")

    def _build_sampling(self) -> None:
        controls = self.controls
        with gr.Accordion("Sampling", open=False):
            self.guidance = gr.Slider(
                0, 10, value=controls.guidance, step=0.1, label="Guidance", buttons=[],
                info="How closely to follow what you ask for; 1 is off.", visible=not controls.few_steps,
            )  # fmt: skip
            self.steps: Any = (
                gr.Dropdown(list(controls.few_steps), value=controls.steps, label="Steps")
                if controls.few_steps
                else gr.Slider(
                    1, max(100, controls.steps), value=controls.steps, step=1, label="Steps", buttons=[]
                )
            )
            kinds = sorted({*kinds_of("samplers"), controls.sampler})  # the run's own may come from elsewhere
            self.sampler = gr.Dropdown(
                kinds, value=controls.sampler, label="Sampler", visible=not controls.few_steps
            )
            self.negative = gr.Textbox(
                label="Steer away from",
                placeholder="a hat",
                visible=controls.takes_negative,
                max_length=500,
            )


def _first_to_switch(controls: Controls) -> str | None:
    """Glasses show best; otherwise the first attribute or the second class."""
    if "Eyeglasses" in controls.attributes:
        return "Eyeglasses"
    names = controls.attributes or controls.classes[1:]
    return names[0] if names else None
