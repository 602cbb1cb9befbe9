"""Pictures in rows and columns: every pixel is kept, labels must fit."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from facegen.plotting.image_table import image_table
from facegen.plotting.style import figure_bytes


def test_each_pixel_is_a_square_of_whole_pixels_of_the_png():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    figure = image_table(images, row_labels=["a", "longer"], column_labels=list("xyz"), title="Title")
    page = np.asarray(Image.open(io.BytesIO(figure_bytes(figure, ".png"))).convert("RGB"))
    boxes = [axes.get_position() for axes in figure.axes]
    height, width = page.shape[:2]
    for box, image in zip(boxes, images.reshape(-1, 16, 16, 3), strict=True):
        left, top = round(box.x0 * width), round((1 - box.y1) * height)
        cell = page[top : top + 128, left : left + 128]
        assert (cell[4::8, 4::8] == image).all()
        assert (cell[0::8, 0::8] == image).all()
        assert (cell[7::8, 7::8] == image).all()


def test_a_short_last_row_leaves_its_places_empty():
    images = np.full((2, 2, 8, 8, 3), 200, np.uint8)
    images[1, 1] = 0
    assert len(image_table(images).axes) == 3


@pytest.mark.parametrize("labels", [{"row_labels": ["a"]}, {"column_labels": ["a"]}, {"captions": [["a"]]}])
def test_labels_must_be_as_many_as_rows_or_columns(labels):
    with pytest.raises(ValueError, match="1 labels for"):
        image_table(np.ones((2, 3, 8, 8, 3), np.uint8), **labels)


def test_a_long_title_is_wrapped_and_stays_on_the_page_above_the_pictures():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = image_table(np.ones((1, 1, 16, 16, 3), np.uint8), title="a smiling woman with wavy hair " * 3)
    renderer = FigureCanvasAgg(figure).get_renderer()
    (title,) = figure.texts
    box = title.get_window_extent(renderer)
    page_width, page_height = (size * figure.dpi for size in figure.get_size_inches())
    picture_top = figure.axes[0].get_position().y1 * page_height
    assert box.x1 <= page_width
    assert box.y1 <= page_height
    assert box.y0 >= picture_top


def test_labels_and_captions_never_overlap_or_leave_the_page():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = image_table(
        np.ones((2, 3, 16, 16, 3), np.uint8),
        row_labels=["WWWWWWWWWW", "Wearing_Necklace"],
        column_labels=["a very long label", "Bags_Under_Eyes 100 %", "costs $5 or $6"],
        captions=[["000001-of-the-training-data", "b", "c"], ["d", "e", "000003-of-the-training-data"]],
        corner="Smiling\nEyeglasses",
    )
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts if text.get_text()]
    width, height = (size * figure.dpi for size in figure.get_size_inches())
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:number])
