"""The section about a card in docs/performance.md, written from results.json."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

MISSING = "–"
NO_CARDS = "No GPU has filled this page so far.\n"
NETWORKS = {"training_small": "small", "training_large": "large"}
LOOPS = ("facegen", "reference", "facegen compiled", "reference compiled")

Results = Mapping[str, Any]


def card_of(results: Results) -> str:
    """The name that the section is headed with."""
    name = _of(results, "environment").get("device", {}).get("name", "unknown card")
    return f"{name} (smoke)" if results["smoke"] else name


def section(results: Results) -> str:
    """Markdown between two markers, from everything that was measured."""
    card = card_of(results)
    parts = [
        f"## {card}",
        _environment(results),
        _tests(results),
        _training(results),
        _steps(results),
        _formats(results),
        _sampling(results),
        _images(results),
        _missing(results),
    ]
    body = "\n\n".join(part for part in parts if part)
    return f"<!-- card: {card} -->\n{body}\n<!-- end of card: {card} -->\n"


def with_section(page: str, results: Results) -> str:
    """`page` with the card's section in place of the one it has, or after all others."""
    card, text = card_of(results), section(results)
    start, end = (re.escape(f"<!-- {what}: {card} -->\n") for what in ("card", "end of card"))
    page = page.replace(NO_CARDS, "")
    standing = re.compile(f"{start}.*?{end}", re.DOTALL)
    if standing.search(page):
        return standing.sub(lambda _: text, page)
    return f"{page.rstrip()}\n\n{text}"


def _of(results: Results, stage: str) -> dict[str, Any]:
    return results["stages"].get(stage, {}).get("results", {})


def _environment(results: Results) -> str:
    found = _of(results, "environment")
    device, software, card = (found.get(name) or {} for name in ("device", "software", "nvidia_smi"))
    cuda = f", CUDA {software['cuda']}, cuDNN {software.get('cudnn')}" if software.get("cuda") else ""
    driver = f", driver {card['driver_version']}" if "driver_version" in card else ""
    limit = f", power limit {card['power.limit']}" if "power.limit" in card else ""
    memory = f", {device['memory_bytes'] / 2**30:.0f} GiB" if "memory_bytes" in device else ""
    sheet = device.get("data_sheet_tflops")
    return (
        f"{results['date']}, facegen {software.get('facegen')}, torch {software.get('torch')}{cuda}{driver}"
        f"{limit}{memory}, {device.get('cpu_cores')} CPU cores. A large product in bf16 runs at "
        f"{_number(_rate(found), '.4g')} TFLOP/s here; the data sheet says {_number(sheet, 'g')}."
    )


def _rate(environment: Mapping[str, Any]) -> float | None:
    rate = environment.get("bf16_matmul_tflops")
    return rate if isinstance(rate, float) else None


def _tests(results: Results) -> str:
    told = _of(results, "gpu_tests").get("pytest")
    if told is None:
        return ""
    lines = [f"- {line}" for line in (*told["failed"], *told["measured"])]
    return "\n".join(
        ["### Tests", "", f"`pytest -m gpu`: {told['closing_line'].strip('= ')}", "", *lines]
    ).strip()


def _training(results: Results) -> str:
    environment = _of(results, "environment")
    sheet, measured = environment.get("device", {}).get("data_sheet_tflops"), _rate(environment)
    rows = []
    for stage, network in NETWORKS.items():
        found = _of(results, stage)
        flops = found.get("facegen", {}).get("flops_per_image")
        for loop in LOOPS:
            told = found.get(loop, {})
            if "images_per_second" not in told:
                continue
            speed = told["images_per_second"]
            used = None if flops is None else flops * speed / 1e12
            rows.append(
                [
                    network,
                    loop,
                    told["precision"],
                    str(told["batch_size"]),
                    f"{speed:,.0f}",
                    f"{told['step_ms']:.1f}",
                    _share(used, sheet),
                    _share(used, measured),
                    _gigabytes(told.get("peak_memory_bytes")),
                    _number(told.get("first_step_seconds"), ".1f"),
                ]
            )
    if not rows:
        return ""
    head = "network|loop|format|batch|images/s|step, ms|MFU|of the measured product|memory, GB|first step, s"
    return "\n".join(["### Training", "", *_sizes(results), "", *_table(head.split("|"), rows)])


def _sizes(results: Results) -> Iterable[str]:
    for stage, network in NETWORKS.items():
        told = _of(results, stage).get("facegen", {})
        if "parameters" in told:
            yield (
                f"- {network}: {told['parameters'] / 1e6:.1f} M parameters, "
                f"{told['flops_per_image'] / 1e9:.2f} GFLOP an image, forward and backward"
            )


def _steps(results: Results) -> str:
    rows, shares = [], []
    for stage, network in NETWORKS.items():
        for loop in LOOPS:
            told = _of(results, stage).get(loop, {})
            kernels = told.get("kernels")
            if not kernels:
                continue
            rows.append(
                [
                    network,
                    loop,
                    _percent(told.get("loading_share")),
                    _percent(told.get("loading_host_share")),
                    f"{kernels['launches_per_step']:.0f}",
                    _number(kernels.get("kernel_ms_per_step"), ".1f"),
                    _percent(kernels.get("busy_share")),
                    str(told["micro_batch"]),
                ]
            )
            if kernels.get("shares"):
                largest = ", ".join(f"{name} {_percent(share)}" for name, share in kernels["shares"].items())
                shares.append(f"- {network}, {loop}: {largest}")
    if not rows:
        return ""
    head = "network|loop|loading|host loading|launches a step|kernels, ms a step|device busy|micro-batch"
    return "\n".join(["### A step", "", *_table(head.split("|"), rows), "", *shares]).strip()


def _formats(results: Results) -> str:
    found = _of(results, "number_formats").items()
    rows = [
        [name, f"{told['images_per_second']:,.0f}", f"{told['step_ms']:.1f}"]
        for name, told in found
        if "images_per_second" in told
    ]
    return (
        "\n".join(["### Other formats, small network", "", *_table(["format", "images/s", "step, ms"], rows)])
        if rows
        else ""
    )


def _sampling(results: Results) -> str:
    rows = []
    for name, told in _of(results, "sampling").items():
        if "eager_faces_per_second" not in told:
            continue
        graphs = told["graphs"]
        equal = {True: "yes", False: f"no, by {_number(graphs.get('largest_difference'), '.1e')}"}
        rows.append(
            [
                name,
                str(told["faces"]),
                str(told["steps"]),
                f"{told['eager_faces_per_second']:.1f}",
                _number(graphs.get("faces_per_second"), ".1f"),
                equal.get(graphs.get("equal"), MISSING),
            ]
        )
    head = "network, format|faces|steps|call by call, faces/s|graphs, faces/s|graphs' faces equal"
    return _titled("Sampling", head.split("|"), rows)


def _images(results: Results) -> str:
    found = {**_of(results, "autoencoder"), **_of(results, "features")}
    rows = [
        [
            name,
            str(told["batch_size"]),
            f"{told['images_per_second']:,.1f}",
            _gigabytes(told["peak_memory_bytes"]),
        ]
        for name, told in found.items()
        if "images_per_second" in told
    ]
    return _titled("Encoding and features", ["what", "batch", "images/s", "memory, GB"], rows)


def _missing(results: Results) -> str:
    """What was left out or went wrong, in whole stages, in parts of them, and in parts of those."""
    lines = []
    for stage, told in results["stages"].items():
        if told["status"] != "done":
            lines.append(f"- {stage}: {told['status']}, {told.get('reason', 'no reason given')}")
        for name, part in told["results"].items():
            lines += [f"- {stage}, {name}: {reason}" for reason in _reasons(part)]
    return "\n".join(["### Left out or failed", "", *lines]) if lines else ""


def _reasons(part: Any) -> Iterator[str]:
    for key, value in part.items() if isinstance(part, dict) else ():
        if key in ("skipped", "failed") and isinstance(value, str):
            yield f"{key}, {value}"
        yield from _reasons(value)


def _titled(title: str, head: Sequence[str], rows: list[list[str]]) -> str:
    return "\n".join([f"### {title}", "", *_table(head, rows)]) if rows else ""


def _table(head: Sequence[str], rows: list[list[str]]) -> list[str]:
    numbers = ["---" if column < 2 else "---:" for column in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, numbers, *rows)]


def _number(value: float | None, how: str) -> str:
    return MISSING if value is None else format(value, how)


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f} %"


def _share(used: float | None, most: float | None) -> str:
    return MISSING if used is None or not most else _percent(used / most)


def _gigabytes(count: int | None) -> str:
    return MISSING if count is None else f"{count / 1e9:.1f}"
