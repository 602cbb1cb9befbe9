"""Pictures in the terminal: what is written is decoded again as a terminal would."""

import base64
import io
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from facegen.cli import preview
from facegen.cli.preview import KITTY_CHUNK, MAX_ROWS, escape_codes, half_blocks, show_picture, way_of
from facegen.errors import UsageError

COLOURS = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
SIZE = os.terminal_size((80, 24))
HALF_BLOCK = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+)m\x1b\[48;2;(\d+);(\d+);(\d+)m▀")


class Screen(io.StringIO):
    def __init__(self, *, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def painted(text):
    """What a terminal shows for half-blocks: uint8 (H, W, 3), two pixels a character."""
    rows = []
    for line in text.splitlines():
        cells = np.array(HALF_BLOCK.findall(line), dtype=np.uint8).reshape(-1, 2, 3)
        assert HALF_BLOCK.sub("", line) == "\x1b[0m", "colours are reset before the line ends"
        rows += [cells[:, 0], cells[:, 1]]
    return np.stack(rows)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(noise(120, 160)).save(path)
    return path


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app", "COLORTERM": "truecolor"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        (COLOURS, "half-blocks"),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit"}, "half-blocks"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, None),
        ({"COLORTERM": "truecolor"}, None),
        ({**COLOURS, "NO_COLOR": "1"}, None),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, None),
        ({**COLOURS, "NO_COLOR": ""}, "half-blocks"),
    ],
)
def test_the_way_is_what_the_terminal_says_of_itself(environment, way):
    assert way_of(environment, is_terminal=True) == way
    assert way_of(environment, is_terminal=False) is None


def test_half_blocks_hold_every_pixel_of_a_small_picture():
    pixels = noise(12, 17)
    np.testing.assert_array_equal(painted(half_blocks(Image.fromarray(pixels), 80, 40)), pixels)


@pytest.mark.parametrize(
    ("picture_size", "columns", "rows", "shown"),
    [
        ((400, 100), 80, 40, (20, 80)),
        ((100, 400), 80, 40, (80, 20)),
        ((100, 3), 50, 40, (2, 50)),
        ((64, 64), 80, -1, (2, 1)),
    ],
)
def test_half_blocks_keep_the_aspect_and_fit_the_terminal(picture_size, columns, rows, shown):
    assert painted(half_blocks(Image.new("RGB", picture_size), columns, rows)).shape[:2] == shown


def test_kitty_gets_the_whole_file_in_chunks_it_takes(picture):
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", escape_codes(picture, "kitty", SIZE))
    assert len(parts) > 2
    assert parts[0][0].split(",") == ["a=T", "f=100", "c=20", "m=1"]
    assert [keys for keys, _ in parts[1:]] == ["m=1"] * (len(parts) - 2) + ["m=0"]
    assert all(len(data) == KITTY_CHUNK for _, data in parts[:-1])
    assert base64.b64decode("".join(data for _, data in parts)) == picture.read_bytes()


def test_kitty_gets_half_blocks_of_what_is_no_png(picture, tmp_path):
    webp = tmp_path / "picture.webp"
    Image.open(picture).save(webp)
    assert painted(escape_codes(webp, "kitty", SIZE)).shape == (44, 59, 3)


def test_iterm2_gets_the_whole_file(picture):
    found = re.fullmatch(
        r"\x1b]1337;File=inline=1;width=20;preserveAspectRatio=1:([^\a]*)\a\n",
        escape_codes(picture, "iterm2", SIZE),
    )
    assert found
    assert base64.b64decode(found[1]) == picture.read_bytes()


def test_a_picture_is_at_most_as_wide_as_the_terminal(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (3000, 10)).save(path)
    assert ";width=80;" in escape_codes(path, "iterm2", SIZE)
    assert painted(escape_codes(path, "half-blocks", SIZE)).shape[1] == 80


def test_a_tall_terminal_is_not_filled(tmp_path):
    path = tmp_path / "tall.png"
    Image.new("RGB", (10, 3000)).save(path)
    shown = painted(escape_codes(path, "half-blocks", os.terminal_size((80, 500))))
    assert shown.shape[0] == 2 * MAX_ROWS


def shown_on(monkeypatch, path, show, *, terminal, environment=COLOURS):
    screen = Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(preview.os, "environ", environment)
    show_picture(path, show)
    return screen.getvalue()


def test_it_is_silent_in_a_pipe_and_where_colours_are_not_wanted(picture, monkeypatch):
    assert shown_on(monkeypatch, picture, None, terminal=False) == ""
    assert shown_on(monkeypatch, picture, None, terminal=True, environment={"TERM": "dumb"}) == ""
    without_colour = {**COLOURS, "NO_COLOR": "1"}
    assert shown_on(monkeypatch, picture, None, terminal=True, environment=without_colour) == ""
    assert shown_on(monkeypatch, picture, False, terminal=True) == ""


def test_it_shows_on_a_terminal_that_can_and_anywhere_when_asked_to(picture, monkeypatch):
    seen = shown_on(monkeypatch, picture, None, terminal=True)
    assert painted(seen).shape == (44, 59, 3)
    assert shown_on(monkeypatch, picture, True, terminal=False, environment={}) == seen


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".MP4"])
def test_what_has_no_pixels_is_passed_over_and_refused_when_asked_for(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"figure{suffix}"
    assert shown_on(monkeypatch, path, None, terminal=True) == ""
    with pytest.raises(UsageError, match=r"cannot show '.*figure(.|\n)*\.png"):
        shown_on(monkeypatch, path, True, terminal=True)


def test_a_real_terminal_of_its_own_size_shows_the_picture(tmp_path):
    """In a pseudo-terminal of 40 columns, as a process of its own."""
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[:30, :30], pixels[:30, 30:], pixels[30:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "four.png")
    code = "from facegen.cli.preview import show_picture as s; from pathlib import Path; s(Path('four.png'))"
    fcntl, pty, termios = (
        pytest.importorskip(name, reason="a terminal of POSIX") for name in ("fcntl", "pty", "termios")
    )
    control, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 40, 0, 0))
    environment = {"PATH": os.environ["PATH"], **COLOURS}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdin=terminal, stdout=terminal
    )
    os.close(terminal)
    seen = b""
    try:
        while data := os.read(control, 65536):
            seen += data
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(control)
    assert process.wait() == 0
    shown = painted(seen.decode())
    assert shown.shape == (40, 40, 3)
    for row, column, colour in ((5, 5, "red"), (5, 35, "lime"), (35, 5, "blue"), (35, 35, "black")):
        assert Image.fromarray(shown).getpixel((column, row)) == Image.new("RGB", (1, 1), colour).getpixel(
            (0, 0)
        )
