"""How a data set is made and labelled."""

from dataclasses import dataclass
from typing import Annotated, Literal

from facegen.errors import UsageError
from facegen.options import HARDWARE, Device, Option, terms

IMAGES, RECORDS, LABELS = "Images", "Which images, which split", "Labels"
HUB, PHOTOS = "Kind hub", "Kind photos"


def read_splits(text: str) -> tuple[float, float, float]:
    """ "0.8,0.1,0.1" as three shares.

    Raises:
        UsageError: not three numbers.
    """
    try:
        train, validation, test = map(float, text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--splits takes the shares of train, validation and test, not '{text}'.",
            hint="Example: --splits 0.8,0.1,0.1",
        ) from error
    return train, validation, test


def read_columns(text: str) -> dict[str, str]:
    """ "Smiling=attr_smile,none=notes" as column -> name.

    Raises:
        UsageError: a part without "=", or a column named twice.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        name, separator, column = (word.strip() for word in part.partition("="))
        if not (name and separator and column) or column in columns:
            raise UsageError(
                f"--columns takes NAME=COLUMN,... with each column once, not '{text}'.",
                hint="Example: --columns image=photo,Smiling=attr_smile,race=label,none=notes",
            )
        columns[column] = name
    return columns


@dataclass(frozen=True)
class PrepareOptions:
    """How images are made.

    `crop` is "auto" (the kind's first) or one of the kind's own; `limit` chooses by hash; `min_side` is of
    the square that is cut. `labels`, `layout` and `columns` (names by column) say how labels are read where
    the source does not say it itself; `conflicts` what happens to equal pictures with different labels.
    `align`, `faces`, `min_face`, `min_sharpness`, `exclude` and `finder` are for the kind photos,
    `revision` and `subset` for hub, `count` and `variety` for kinds that draw (avatars).
    """

    size: Annotated[int, Option("Side of the square images in pixels.", IMAGES)] = 64
    crop: Annotated[str, Option("A crop of the kind; auto: the one that suits it.", IMAGES)] = "auto"
    min_side: Annotated[int, Option("Leave out images that are smaller than this.", IMAGES)] = 16
    count: Annotated[int | None, Option("How many avatars to draw; 10,000 if left out.", RECORDS)] = None
    variety: Annotated[
        Literal["plain", "rich"] | None,
        Option("Avatars: plain, 17 labels for 64 pixels, if left out; rich, 59 labels for 128.", RECORDS),
    ] = None
    limit: Annotated[int | None, Option("Keep this many, chosen evenly.", RECORDS)] = None
    splits: Annotated[
        tuple[float, float, float] | None,
        Option(
            "Shares of train, validation, test; left out: the source's own.",
            RECORDS,
            metavar="TRAIN,VALIDATION,TEST",
            read=read_splits,
        ),
    ] = None
    seed: Annotated[int, Option("Of drawing, choosing and splitting.", RECORDS, min=0)] = 0
    renew: Annotated[bool, Option("Make it anew where the source has changed since.", RECORDS)] = False
    strict: Annotated[bool, Option("Fail at every gap and repair instead of telling it.", RECORDS)] = False
    max_reject_share: Annotated[float, Option("Fail if more than this share is unusable.", RECORDS)] = 0.5
    labels: Annotated[
        str | None,
        Option("Table or folder of labels, in the source or elsewhere.", LABELS, metavar="PATH"),
    ] = None
    layout: Annotated[
        Literal["auto", "table", "classes", "people", "flat"],
        Option("What folders of images mean; auto: by the evidence, which is told.", LABELS),
    ] = "auto"
    columns: Annotated[
        dict[str, str] | None,
        Option(
            "What columns are: a label's name (yes-no:NAME, class:NAME, number:NAME for another form), image,"
            " caption, identity, split, id; none leaves out.",
            LABELS,
            metavar="NAME=COLUMN,...",
            read=read_columns,
        ),
    ] = None
    conflicts: Annotated[
        Literal["leave-out", "keep-first"],
        Option("Equal pictures with different labels: none is kept, or the first.", LABELS),
    ] = "leave-out"
    align: Annotated[
        Literal["ffhq", "celeba"] | None,
        Option("Cut faces as FFHQ has them, if left out, or as CelebA.", PHOTOS),
    ] = None
    faces: Annotated[
        Literal["all", "largest"] | None, Option("All faces of a photo, if left out, or one.", PHOTOS)
    ] = None
    min_face: Annotated[
        int | None,
        Option("Least size of a face in the photo, in pixels; left out: none is enlarged.", PHOTOS),
    ] = None
    min_sharpness: Annotated[
        float | None, Option("Leave out faces less sharp than this; 0.05 if left out.", PHOTOS)
    ] = None
    exclude: Annotated[
        str | None, Option("List of faces to leave out, as review.html makes it.", PHOTOS, metavar="FILE")
    ] = None
    finder: Annotated[str | None, Option("What finds faces; mtcnn if left out.", PHOTOS)] = None
    subset: Annotated[str | None, Option("Which one, if it has several.", HUB)] = None
    revision: Annotated[str | None, Option("Branch, tag or commit on the hub.", HUB)] = None
    workers: Annotated[int | None, Option("Processes; left out: one a core.", HARDWARE)] = None


@dataclass(frozen=True)
class LabelOptions:
    """Below `min_confidence` an attribute stays unknown, and an image without a class is left out."""

    min_confidence: Annotated[
        float, Option("Its own probability of an answer that is taken.", min=0.0, max=1.0)
    ] = 0.9
    attributes: Annotated[
        tuple[str, ...] | None,
        Option("Only these; left out: all that it tells.", metavar="NAME,NAME,...", read=terms),
    ] = None
    device: Device = "auto"
