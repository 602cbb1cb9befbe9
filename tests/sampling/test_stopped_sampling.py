"""`facegen sample` beside another, stopped, killed and repeated: no picture is lost or left hidden."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.generator_parts import save_run

from facegen.errors import FacegenError, StorageError, Terminated, UsageError
from facegen.progress import SilentProgress
from facegen.sampling import sample as sampling
from facegen.sampling.options import SampleOptions
from facegen.sampling.sample import sample

ASKED = SampleOptions(prompt="a smiling man", count=6, batch_size=2, steps=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("attributes"))


@pytest.fixture(scope="module")
def undisturbed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the folder holds when nothing happens."""
    return content(sample(run, asked(tmp_path_factory.mktemp("whole") / "out")).grid.parent)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(out: Path | None = None, **changes: Any) -> SampleOptions:
    return SampleOptions(**{**vars(ASKED), "out": out, **changes})


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stopped_at(
    picture: int, action: Callable[[], Any] | BaseException, run: Path, options: SampleOptions
) -> BaseException:
    """What sampling ends with when `action` comes before the picture of that number, from 0, is encoded."""
    plain, seen = sampling.encode_png, count()

    def encode(*args: Any) -> bytes:
        if next(seen) == picture:
            if isinstance(action, BaseException):
                raise action
            action()
        return plain(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "encode_png", encode)
        with pytest.raises(BaseException) as ended:  # noqa: PT011
            sample(run, options)
    return ended.value


class Killed(BaseException):
    """Ends drawing where nothing may be said or tidied."""


@pytest.mark.parametrize("out", [Path("many"), None])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_says_what_is_there_and_the_same_command_goes_on(
    run: Path,
    undisturbed: dict[str, bytes],
    out: Path | None,
    number: signal.Signals,
    code: int,
) -> None:
    before = signal.getsignal(number)
    stopped = stopped_at(3, lambda: os.kill(os.getpid(), number), run, asked(out))
    assert signal.getsignal(number) is before
    folder = Path(".many.partial") if out else Path("samples/.0001.partial")
    assert isinstance(stopped, Terminated)
    assert stopped.exit_code == code
    assert f"3 of 6 pictures are in '{folder}'" in str(stopped)
    assert "same command" in str(stopped)
    progress = SilentProgress()
    summary = sample(run, asked(out, batch_size=4), progress)
    assert "Going on: 3 of 6 pictures are there already." in progress.said
    assert summary.grid.parent == (out or Path("samples/0001"))
    assert content(summary.grid.parent) == undisturbed
    assert not folder.exists()


@given(data=st.data(), written=st.integers(0, 6))
@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_a_kill_leaves_the_same_command_ends_with_the_undisturbed_folder(
    run: Path,
    undisturbed: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    written: int,
) -> None:
    out = tmp_path_factory.mktemp("killed") / "many"
    stopped_at(5, Killed(), run, asked(out))
    pictures = out.with_name(".many.partial") / "pictures"
    for number, picture in enumerate(sorted(pictures.iterdir())):
        if number >= written:  # cut anywhere, also just before the last byte
            whole = picture.read_bytes()
            picture.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert content(sample(run, asked(out)).grid.parent) == undisturbed
    assert os.listdir(out.parent) == ["many"]


def test_what_is_there_is_not_drawn_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_at(4, Killed(), run, asked(Path("many")))
    drawn: list[int] = []
    plain = sampling.Artist.draw

    def draw(self: Any, inputs: Any, seeds: Any, *args: Any) -> Any:
        drawn.extend(seeds)
        return plain(self, inputs, seeds, *args)

    monkeypatch.setattr(sampling.Artist, "draw", draw)
    sample(run, asked(Path("many")))
    assert drawn == [4, 5]


def test_two_at_once_get_two_folders(run: Path, undisturbed: dict[str, bytes]) -> None:
    ready, folders = threading.Barrier(2), []

    class Meeting(SilentProgress):
        def stage(self, title: str, total: int | None = None) -> Any:
            ready.wait(30)  # both have claimed their numbers
            return super().stage(title, total)

    def draw() -> None:
        folders.append(sample(run, asked(), Meeting()).grid.parent)

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, folders)) == ["samples/0001", "samples/0002"]
    assert [content(folder) for folder in folders] == [undisturbed, undisturbed]
    assert sorted(os.listdir("samples")) == ["0001", "0002"]


def test_a_folder_that_another_process_draws_into_is_refused(run: Path) -> None:
    Path(".many.partial").mkdir()
    with FileLock(".many.partial/lock"), pytest.raises(UsageError, match="draws into 'many' now"):
        sample(run, asked(Path("many")))


@pytest.fixture
def stopped(run: Path) -> None:
    """One command without --out and one with it, killed."""
    for out in (None, Path("many")):
        stopped_at(2, Killed(), run, asked(out))


@pytest.mark.usefixtures("stopped")
def test_another_request_never_takes_the_pictures_of_a_stopped_one(
    run: Path, undisturbed: dict[str, bytes]
) -> None:
    progress = SilentProgress()
    other = asked(seed=1)
    assert sample(run, other, progress).grid.parent == Path("samples/0002")
    assert "'samples/.0001.partial' holds 2 pictures of another command that was stopped" in progress.said[-1]
    assert content(sample(run, asked()).grid.parent) == undisturbed
    assert sorted(os.listdir("samples")) == ["0001", "0002"]
    progress = SilentProgress()
    replaced = sample(run, asked(Path("many"), seed=1), progress)
    assert "2 pictures of another command that was stopped are replaced." in progress.said
    assert sorted(content(replaced.grid.parent)) == [
        "grid.png",
        *(f"seed-{seed:08d}.png" for seed in range(1, 7)),
    ]
    assert not Path(".many.partial").exists()


def test_a_full_disk_keeps_what_was_drawn(run: Path, undisturbed: dict[str, bytes]) -> None:
    full = stopped_at(2, OSError(28, "No space left on device"), run, asked(Path("many")))
    assert isinstance(full, StorageError)
    assert not Path("many").exists()
    assert content(sample(run, asked(Path("many"))).grid.parent) == undisturbed


@pytest.mark.parametrize("error", [StorageError("first picture"), Terminated("SIGTERM.", exit_code=143)])
def test_before_the_first_picture_nothing_is_left(run: Path, error: FacegenError) -> None:
    assert type(stopped_at(0, error, run, asked(Path("many")))) is type(error)
    assert os.listdir() == []


def test_the_settings_kept_are_those_of_the_pictures(run: Path) -> None:
    stopped_at(1, Killed(), run, asked(Path("many")))
    kept = json.loads(Path(".many.partial/settings.json").read_text("utf-8"))
    assert (kept["seed"], kept["count"], kept["prompt"]) == (0, 6, "a smiling man")
