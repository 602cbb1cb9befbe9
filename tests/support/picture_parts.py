"""Runs conditioned on pictures, and photos to ask them with."""

import io

import numpy as np
from PIL import Image
from support.generator_parts import save_run, tiny_recipe

SEMANTIC = {"kind": "semantic_encoder", "dim": 32, "widths": [8, 16]}


def picture_run(folder):
    """An untrained run on `semantic_encoder`."""
    return save_run(folder, tiny_recipe(conditioner=SEMANTIC))


def photo(path, colour, size=(40, 60), **save):
    """A photo whose middle square has one colour, on black."""
    picture = Image.new("RGB", size)
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    picture.paste(colour, (left, top, left + side, top + side))
    picture.save(path, **save)
    return path


def pixels(path):
    return np.asarray(Image.open(path)).copy()


def jpeg_turned(path, colour):
    """A JPEG that EXIF says to turn by a quarter: upright it is 40 x 60, red above and `colour` below."""
    upright = Image.new("RGB", (40, 60), colour)
    upright.paste((255, 0, 0), (0, 0, 40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=95, exif=exif)
    path.write_bytes(buffer.getvalue())
    return path
