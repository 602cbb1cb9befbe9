"""The studio for half an hour: two clients draw, a third misbehaves. Does memory grow, do files pile up?

python benchmarks/studio_hour.py                    half an hour, with the model in the box
python benchmarks/studio_hour.py --minutes 2

The studio runs as `facegen studio` does, in processes of its own. Two windows ask for one drawing after the
other and type words meanwhile. The third asks from a foreign page and under a foreign name, floods with
drawings and words, leaves in the middle of a drawing, uploads photos, too large ones and bombs, asks for
files outside and for routes that are not served. Told: answers by kind; resident memory of the studio's two
processes, open files, sockets and temporary files at start and end; and the slope of memory over the last two
thirds, with its standard error. Memory counts as growing where the slope is more than two standard errors and
more than 5 MB in half an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import httpx
import numpy as np
import psutil
from studio_visitor import RUN, Visitor

LOOK_SECONDS = 5.0
WARM_SHARE = 1 / 3  # of the time, before the slope is measured
GROWTH_BYTES = 5e6  # in half an hour
HALF_HOUR = 1800.0
PROMPTS = (
    "smiling, blond hair",
    "round glasses, a hat",
    "sad, gray hair, a beard",
    "surprised",
    "red clothes",
)
BEGIN = "from facegen.cli.app import main; main()"


class Tally:
    """How often what was answered to whom; every client adds to it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.counts: Counter[str] = Counter()

    def add(self, name: str, answer: str) -> None:
        with self._lock:
            self.counts[f"{name}: {answer}"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--run", default="box", help="the model")
    parser.add_argument("--out", type=Path, help="write all measurements as JSON")
    asked = parser.parse_args()
    tally, over, looks = Tally(), Event(), []
    with tempfile.TemporaryDirectory() as scratch, studio(asked.run, Path(scratch)) as (process, url):
        clients = [(draws, 0), (draws, 1), (misbehaves, 2)]
        threads = [Thread(target=work, args=(url, seed, tally, over)) for work, seed in clients]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        while time.monotonic() - begun < 60 * asked.minutes and process.is_running():
            looks.append({"seconds": time.monotonic() - begun, **looked(process, Path(scratch))})
            time.sleep(LOOK_SECONDS)
        over.set()
        for thread in threads:
            thread.join(120)
        time.sleep(2 * LOOK_SECONDS)  # what left has gone
        looks.append({"seconds": time.monotonic() - begun, **looked(process, Path(scratch))})
    told(looks, tally)
    if asked.out:
        asked.out.write_text(json.dumps({"looks": looks, "answers": tally.counts}), encoding="utf-8")


@contextmanager
def studio(run: str, scratch: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A studio with its temporary files in `scratch`, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", BEGIN, "studio", run, "--port", str(port), "--no-browser"]
    process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)})
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(url, timeout=10).status_code == 200:
                    break
            if process.poll() is not None:
                raise SystemExit("The studio did not start.")
            time.sleep(0.2)
        yield psutil.Process(process.pid), url
    finally:
        process.terminate()
        process.wait()


def looked(studio: psutil.Process, scratch: Path) -> dict[str, int]:
    """Memory, open files and temporary files of the studio now."""
    processes = [studio, *studio.children(recursive=True)]
    server, *others = (one.memory_info().rss for one in processes)
    return {
        "server_bytes": server,
        "model_bytes": sum(others),
        "open_files": sum(one.num_fds() for one in processes),
        "threads": sum(one.num_threads() for one in processes),
        "connections": len(studio.net_connections("tcp")),
        "temporary_files": sum(len(names) for _, _, names in os.walk(scratch)),
    }


def draws(url: str, seed: int, tally: Tally, over: Event) -> None:
    """One drawing after the other, words typed before each."""
    random = np.random.default_rng(seed)
    visitor = Visitor(url)
    while not over.is_set():
        prompt = str(random.choice(PROMPTS))
        with suppress(httpx.HTTPError):
            typed = {**visitor.event("reading", Prompt=prompt)}
            tally.add("words", str(visitor.http.post(RUN, json=typed).status_code))
            asked = visitor.event(
                "pictures",
                Prompt=prompt,
                Pictures=int(random.integers(1, 9)),
                Steps=int(random.integers(5, 25)),
                Seed=int(random.integers(10**6)),
            )
            answer = visitor.ask(asked)
            if answer.status_code != 200:
                tally.add("drawing", str(answer.status_code))
                over.wait(1)
                continue
            whole = "".join(json.dumps(one) for one in visitor.answers())
            tally.add("drawing", "done" if "Done in" in whole else "not done")
            continue
        tally.add("drawing", "no answer")
    visitor.close()


def misbehaves(url: str, seed: int, tally: Tally, over: Event) -> None:
    """All that a bad client may think of, in turn."""
    random = np.random.default_rng(seed)
    tricks: list[Callable[[str, Any], str]] = [
        foreign_page, foreign_name, floods, floods_words, leaves, uploads, too_large, bomb, outside,
        not_served, hangs,
    ]  # fmt: skip
    for number in range(sys.maxsize):
        if over.is_set():
            return
        trick = tricks[number % len(tricks)]
        try:
            tally.add(trick.__name__, trick(url, random))
        except (httpx.HTTPError, OSError) as error:
            tally.add(trick.__name__, type(error).__name__)
        over.wait(0.5)


def foreign_page(url: str, random: Any) -> str:
    return str(httpx.get(f"{url}/config", headers={"origin": "https://evil.example"}).status_code)


def foreign_name(url: str, random: Any) -> str:
    return str(httpx.get(f"{url}/config", headers={"host": "evil.example"}).status_code)


def floods(url: str, random: Any) -> str:
    """Thirty drawings from one window, which never listens."""
    visitor = Visitor(url)
    answers = Counter(visitor.ask(visitor.event("pictures", Pictures=64)).status_code for _ in range(30))
    visitor.close()
    return summed(answers)


def floods_words(url: str, random: Any) -> str:
    """Fifty long prompts at once."""
    visitor = Visitor(url)
    asked = visitor.event("reading", Prompt="a smiling man with glasses, " * 1000)
    answers: list[int] = []

    def ask() -> None:
        with suppress(httpx.HTTPError):
            answers.append(httpx.post(url + RUN, json=asked, timeout=60).status_code)

    threads = [Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    visitor.close()
    return summed(Counter(answers))


def leaves(url: str, random: Any) -> str:
    """Asks for much, and goes away while it is drawn."""
    visitor = Visitor(url)
    answer = visitor.ask(visitor.event("pictures", Pictures=64, Steps=100))
    for number, _ in enumerate(visitor.answers()):
        if number == 3:
            break
    visitor.close()
    return f"{answer.status_code}, left"


def uploads(url: str, random: Any) -> str:
    visitor = Visitor(url)
    answer = visitor.upload(random.bytes(1_000_000))
    visitor.close()
    return str(answer.status_code)


def too_large(url: str, random: Any) -> str:
    visitor = Visitor(url)
    with suppress(httpx.HTTPError):
        answer = visitor.upload(bytes(60_000_000))
        return str(answer.status_code)
    return "closed"


def bomb(url: str, random: Any) -> str:
    """A picture of 60,000 x 60,000 pixels in a few bytes, shown as a photo."""
    visitor = Visitor(url)
    (path,) = visitor.upload(png_bomb()).json()
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    answer = visitor.ask(visitor.event("photo-shown", photo=file))
    whole = "".join(json.dumps(one) for one in visitor.answers())
    visitor.close()
    return f"{answer.status_code}, {'refused' if 'cannot be used' in whole else 'not refused'}"


def outside(url: str, random: Any) -> str:
    return str(httpx.get(f"{url}/gradio_api/file=/etc/passwd").status_code)


def not_served(url: str, random: Any) -> str:
    return str(httpx.get(f"{url}/gradio_api/info").status_code)


def hangs(url: str, random: Any) -> str:
    """Ten connections that never say anything, left open for a moment."""
    host, port = url.removeprefix("http://").split(":")
    connections = [socket.create_connection((host, int(port))) for _ in range(10)]
    time.sleep(0.2)
    for connection in connections:
        connection.close()
    return "opened and left"


def png_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def summed(answers: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))


def slope(looks: list[dict[str, Any]], name: str) -> tuple[float, float]:
    """Growth in half an hour after the warm-up, and its standard error."""
    warm = [look for look in looks if look["seconds"] >= WARM_SHARE * looks[-1]["seconds"]]
    seconds, values = (np.array([look[key] for look in warm], float) for key in ("seconds", name))
    if len(warm) < 4:
        return float("nan"), float("nan")
    (rate, _), covariance = np.polyfit(seconds, values, 1, cov=True)
    return rate * HALF_HOUR, float(np.sqrt(covariance[0, 0])) * HALF_HOUR


def told(looks: list[dict[str, Any]], tally: Tally) -> None:
    first, last = looks[0], looks[-1]
    print(f"{last['seconds'] / 60:.1f} minutes\n")
    print("| | start | end |\n|---|---|---|")
    for name in first:
        if name != "seconds":
            scale, unit = (1e6, " MB") if name.endswith("bytes") else (1, "")
            print(f"| {name} | {first[name] / scale:.0f}{unit} | {last[name] / scale:.0f}{unit} |")
    for name in ("server_bytes", "model_bytes"):
        growth, error = slope(looks, name)
        grows = growth > max(2 * error, GROWTH_BYTES)
        print(
            f"\n{name}: {growth / 1e6:+.1f} MB in half an hour after warm-up (standard error "
            f"{error / 1e6:.1f}): {'GROWS' if grows else 'does not grow'}"
        )
    print("\n| answer | times |\n|---|---|")
    for name, count in sorted(tally.counts.items()):
        print(f"| {name} | {count} |")


if __name__ == "__main__":
    main()
