"""Commands that a launcher started several times over: one result, byte for byte that of one process."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.evaluation_parts import train_judge, write_shapes
from support.generator_parts import save_run
from support.processes import Processes, run_processes
from support.tiny_dataset import write_autoencoder

from facegen.encoding.encode import encode
from facegen.encoding.options import EncodeOptions
from facegen.evaluation.distribution import evaluate
from facegen.evaluation.options import DistributionOptions
from facegen.formats.files import sha256_of
from facegen.models.devices import idle_gpus
from facegen.sampling.options import SampleOptions
from facegen.sampling.sample import sample

COUNT = 150  # faces to judge: three batches of drawing
ENCODING = {"batch_size": 3, "flips": True, "device": "cpu"}
SAMPLING = {"prompt": "a smiling man", "count": 7, "batch_size": 2, "steps": 2, "device": "cpu"}
PICTURES = ("picture", "grid", "heat_map")
JUDGING = {"split": "validation", "num_samples": COUNT, "steps": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, an autoencoder, a run and a judge."""
    folder = tmp_path_factory.mktemp("parts")
    train_judge(
        write_shapes(folder / "data", {"train": 19, "validation": COUNT, "test": 6}), folder / "judge"
    )
    write_autoencoder(folder / "ae")
    save_run(folder)
    return folder


@pytest.fixture
def as_one(parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Checks that so many processes encode, sample and judge as this one does."""
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    features = f"classifier:{parts / 'judge'}"
    encode(parts / "data", str(parts / "ae"), tmp_path / "latents", EncodeOptions(shard_size=4, **ENCODING))
    sample(parts / "run", SampleOptions(out=tmp_path / "faces", **SAMPLING))
    options = DistributionOptions(features=features, **JUDGING)
    report = evaluate(parts / "run", parts / "data", ("kid",), options)

    def check(count: int) -> None:
        out = tmp_path / str(count)
        told_by_first(*encode_line(parts, out / "latents"), "--shard-size", 4, count=count)
        assert contents(out / "latents") == contents(tmp_path / "latents")
        told_by_first("sample", parts / "run", "--out", out / "faces", *options_of(SAMPLING), count=count)
        assert contents(out / "faces") == contents(tmp_path / "faces")
        judging = ("--reference", parts / "data", "--features", features, *options_of(JUDGING), "--json")
        monkeypatch.setenv("FACEGEN_CACHE", str(out / "cache"))
        told = told_by_first("eval", "kid", parts / "run", *judging, count=count)
        assert timeless(json.loads(told)) == timeless(report.to_json())
        assert contents(out / "cache") == contents(tmp_path / "cache")

    return check


def told_by_first(*arguments: Any, count: int) -> str:
    """What the first of `count` processes prints; all others are silent."""
    ended = run_processes(list(map(str, arguments)), count)
    assert [one.returncode for one in ended] == [0] * count, [one.stderr for one in ended]
    assert [one.stdout + one.stderr for one in ended[1:]] == [""] * (count - 1)
    return ended[0].stdout


def options_of(fields: dict[str, Any]) -> list[str]:
    """The fields of a dataclass of options on the command line."""
    words = []
    for name, value in fields.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def encode_line(parts: Path, out: Path) -> list[Any]:
    return ["encode", parts / "data", "--autoencoder", parts / "ae", "--out", out, *options_of(ENCODING)]


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def timeless(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in ("seconds", "saved_to")}


def taken_pictures(report: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Take the paths of pictures, which carry a time of day, out of a report; what the pictures hold."""
    for name, value in list(report.items()):
        if isinstance(value, dict):
            yield from taken_pictures(value)
        elif name in PICTURES and value:
            yield name, Path(report.pop(name)).read_bytes()


def wait_for(condition: Callable[[], Any], running: Processes, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in running.processes), "ended too early"
        time.sleep(0.005)


@pytest.mark.slow
def test_two_processes_encode_sample_and_judge_as_one_does(as_one: Callable[[int], None]) -> None:
    as_one(2)


@pytest.mark.slow
def test_four_processes_encode_sample_and_judge_as_one_does(as_one: Callable[[int], None]) -> None:
    as_one(4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("attributes", "run", "--classifier", "judge", "--num-samples", 150, "--split", "validation"),
        ("control", "run", "--classifier", "judge", "--num-samples", 40, "--split", "validation"),
        (
            "memorization",
            "run",
            "--train",
            "data",
            "--features",
            "pixels",
            "--nominal-rate",
            0.2,
            "--num-samples",
            100,
        ),
        ("subgroups", "run", "--classifier", "judge", "--reference", "data", "--num-samples", 100),
        ("reconstruction", "ae", "data", "--features", "classifier:judge", "--split", "validation"),
        ("classifier", "judge", "data", "--split", "validation"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_every_question_is_answered_the_same(
    arguments: tuple[Any, ...], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(parts)
    drawing = () if arguments[0] in ("reconstruction", "classifier") else ("--data", "data", "--steps", 2)
    if arguments[0] == "memorization":
        drawing = ("--steps", 2)
    answers = []
    for count in (1, 2):
        monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / str(count)))
        told = told_by_first("eval", *arguments, *drawing, "--device", "cpu", "--json", count=count)
        answers.append(timeless(json.loads(told)))
    pictures = [list(taken_pictures(answer)) for answer in answers]
    assert answers[0] == answers[1]
    assert pictures[0] == pictures[1]


@pytest.mark.slow
def test_encoding_goes_on_in_another_number_of_processes_after_one_was_killed(
    parts: Path, tmp_path: Path
) -> None:
    out = tmp_path / "latents"
    encode(parts / "data", str(parts / "ae"), tmp_path / "one", EncodeOptions(shard_size=1, **ENCODING))
    line = list(map(str, [*encode_line(parts, out), "--shard-size", 1]))
    with Processes(line, 3) as running:
        wait_for(lambda: len(list(out.glob("latents-*.safetensors"))) > 12, running)
        running.processes[1].kill()
        ended = running.wait()
    assert ended[0].returncode == ended[2].returncode == 7
    assert "process 1 of 3" in ended[0].stderr
    assert "was lost" in ended[0].stderr
    assert "Traceback" not in "".join(one.stderr for one in ended)
    standing = len(json.loads((out / "encoding.json").read_text())["files"])
    assert 0 < standing < 175
    told_by_first(*line, count=2)
    assert contents(out) == contents(tmp_path / "one")


@pytest.mark.slow
def test_sampling_goes_on_in_another_number_of_processes(parts: Path, tmp_path: Path) -> None:
    asked = {**SAMPLING, "count": 40, "batch_size": 1, "steps": 20}
    sample(parts / "run", SampleOptions(out=tmp_path / "one", **asked))
    out, work = tmp_path / "many", tmp_path / ".many.partial" / "pictures"
    line = ["sample", str(parts / "run"), "--out", str(out), *options_of(asked)]
    with Processes(line, 2) as running:
        wait_for(lambda: len(list(work.glob("*.png"))) > 8, running)
        for process in running.processes:
            process.send_signal(signal.SIGTERM)
        ended = running.wait()
    assert [one.returncode for one in ended] == [143, 143]
    assert "The same command goes on from there." in ended[0].stderr
    assert ended[1].stderr == ""
    told_by_first(*line, count=3)
    assert contents(out) == contents(tmp_path / "one")
    assert not work.parent.exists()


@pytest.mark.slow
def test_a_refusal_is_told_once(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    ended = run_processes([str(word) for word in encode_line(parts, tmp_path / "out")], 2)
    assert [one.returncode for one in ended] == [2, 2]
    assert "is not empty and holds no latents" in ended[0].stderr
    assert ended[1].stderr == ""


@pytest.mark.slow
def test_the_first_of_two_prepares(tmp_path: Path) -> None:
    for count in (1, 2):
        out = tmp_path / str(count) / "avatars"
        told = told_by_first("prepare", "avatars", "--out", out, "--count", 20, "--size", 16, count=count)
        assert "20" in told
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_whoever_leaves_gpus_idle_is_told_the_command_that_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 8)
    told = idle_gpus(["sample", "run", "--prompt", "an old man"])
    assert told is not None
    assert told.endswith("torchrun --nproc-per-node 8 -m facegen -- sample run --prompt 'an old man'")
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert idle_gpus(["sample"]) is None
