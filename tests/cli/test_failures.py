"""What a failing command looks like: a message on stderr, the right exit code, no traceback, nothing made."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facegen.cli import app as app_module
from facegen.cli.app import app
from facegen.errors import StorageError, Terminated


def _run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        ("train --preset avatar --run new", 2, "Unknown preset 'avatar'. Did you mean 'avatars'?"),
        ("train --preset avatars --set optimizer.lrr=1 --run new", 2, "Did you mean 'lr'?"),
        ("train --preset avatars --set optimizer --run new", 2, "key.path=value"),
        ("train --config nowhere.yaml --run new", 2, "'nowhere.yaml' does not exist"),
        ("train --run new", 2, "Name a preset or a config file."),
        ("train --run new --resume", 2, "facegen train --preset NAME"),
        ("train --preset avatars --data nowhere --run new", 3, "nowhere"),
        ("prepare celeb nowhere --out new", 2, "Did you mean 'celeba'?"),
        ("prepare celeba nowhere --out new", 3, "nowhere"),
        ("prepare photos --out new", 2, "facegen prepare photos FOLDER_OR_ARCHIVE --out DIR"),
        ("prepare photos nowhere --out new", 3, "nowhere"),
        ("prepare avatars --out new --min-face 9", 2, "--min-face is for other kinds"),
        ("prepare avatars --out new --splits 1,2", 2, "--splits 0.8,0.1,0.1"),
        ("prepare avatars --out new --size 4", 2, "--size"),
        ("encode nowhere --autoencoder identity --out new", 3, "facegen prepare"),
        ("sample nowhere", 4, "facegen train"),
        ("eval fid nowhere --reference nowhere", 3, "facegen prepare"),
        ("eval attributes nowhere --classifier nowhere", 4, "nowhere"),
        ("config show nothing", 2, "'nothing' is no preset, no file and no run."),
        ("config copy nothing my.yaml", 2, "Unknown preset 'nothing'"),
        ("config show .", 2, "is not a run: it has no 'recipe.yaml'"),
        ("config validate celeba-attributes --set optimizer.lr=fast", 2, "optimizer.lr"),
        ("config diff avatars avatar", 2, "Did you mean 'avatars'"),
    ],
)
def test_a_mistake_is_told_with_its_exit_code(
    words: str, exit_code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, error = _run(*words.split())
    assert code == exit_code, error
    assert error.startswith("Error: ")
    assert told in error
    assert "Traceback" not in error
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", ["trian", "train --preset avatars", "sample run --count many", "train --run x --nothing", "eval"]
)
def test_a_wrong_command_line_is_a_usage_error(words: str) -> None:
    code, _, error = _run(*words.split())
    assert code == 2
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("raised", "exit_code", "told"),
    [
        (StorageError("The disk is full.", hint="Free some."), 5, "Error: The disk is full.\nFree some."),
        (Terminated("Stopped by SIGTERM.", exit_code=143), 143, "Stopped by SIGTERM."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (OSError(errno.ENOSPC, "No space left on device", "x.bin"), 5, "No space left on device: 'x.bin'"),
        (PermissionError(errno.EACCES, "Permission denied", "secret"), 5, "Permission denied: 'secret'"),
    ],
)
def test_what_a_command_raises_becomes_its_exit_code(
    raised: BaseException, exit_code: int, told: str, failing_version: Callable[[BaseException], None]
) -> None:
    failing_version(raised)
    code, _, error = _run("version")
    assert code == exit_code
    assert told in error
    assert "Traceback" not in error


def test_a_bug_shows_its_traceback_and_where_to_report_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failing_version: Callable[[BaseException], None],
) -> None:
    failing_version(ZeroDivisionError("oops"))
    monkeypatch.setattr(sys, "argv", ["facegen", "version"])
    with pytest.raises(SystemExit) as caught:
        app_module.main()
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in error
    assert "CONTRIBUTING.md" in error


@pytest.fixture
def failing_version(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `facegen version` raise, in the middle of its work."""

    def fail_with(error: BaseException) -> None:
        def fail(name: str) -> str:
            raise error

        monkeypatch.setattr("facegen.cli.version.library_version", fail)

    return fail_with


def test_a_closed_pipe_is_no_news() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        result = subprocess.run(
            [sys.executable, "-m", "facegen", "config", "show", "avatars"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.stderr == ""
    assert result.returncode == 141
