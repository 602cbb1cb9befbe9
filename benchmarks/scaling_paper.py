"""Many GPUs on paper: the bytes of every collective of a step, published bandwidths, and what that leaves.

Nothing here was run. Gradients and parameters travel as float32, as `facegen/training/parallel.py` has it.
DDP averages gradients in buckets while the backward pass goes on. FSDP2 gathers a block's parameters before
its forward and again before its backward pass, and scatters the sum of its gradients. (The few per cent of
the parameters outside the blocks are gathered once; they are counted as the others.)

Letters: N GPUs, P parameters, K pieces (buckets or blocks) that a pass sends one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FLOAT_BYTES = 4
TOKENS = 256  # of an image: latents of 32x32 cells in patches of 2x2
IMAGES = 32  # a step and GPU
UTILISATION = 0.4  # of the published peak
BUCKET_BYTES = 25 * 2**20  # DDP's default, which facegen leaves as it is
GPUS_OF_A_MACHINE = 8
FINITE_BYTES = 2 * FLOAT_BYTES  # whether a step is finite, and a signal that asks to stop
COPIES = 5  # weights, gradients, two Adam moments, average: float32 each

Kind = Literal["DDP", "FSDP2"]


@dataclass(frozen=True)
class Model:
    """A transformer of `blocks` blocks."""

    name: str
    parameters: float
    blocks: int

    @property
    def flop_an_image(self) -> float:
        """Forward and backward: 6 a parameter and token (Kaplan et al. 2020, arXiv:2001.08361)."""
        return 6 * self.parameters * TOKENS


@dataclass(frozen=True)
class Cluster:
    """GPUs and how they are linked; bandwidths are bytes a second one way, as published.

    `gpu_link` is of one GPU inside its machine, `machine_link` of all network cards of a machine.
    """

    name: str
    gpus: int
    flop_per_second: float  # dense bf16
    gpu_link: float
    machine_link: float = math.inf

    @property
    def bandwidth(self) -> float:
        """Of rings through all GPUs, which cross a machine's border on all its cards at once."""
        return self.gpu_link if self.gpus <= GPUS_OF_A_MACHINE else min(self.gpu_link, self.machine_link)


MODELS = (Model("90 M", 90e6, 12), Model("700 M", 700e6, 28))
H100, H100_PCIE, RTX_4090 = 989e12, 756e12, 165e12
NVLINK_4, PCIE_5, PCIE_4 = 450e9, 63e9, 31.5e9
NDR, ETHERNET_25 = 50e9, 25e9 / 8
CLUSTERS = (
    Cluster("8 H100, NVLink 4", 8, H100, NVLINK_4),
    Cluster("64 H100, NVLink 4, 8 NDR a machine", 64, H100, NVLINK_4, 8 * NDR),
    Cluster("8 H100 PCIe, PCIe 5", 8, H100_PCIE, PCIE_5),
    Cluster("8 RTX 4090, PCIe 4", 8, RTX_4090, PCIE_4),
    Cluster("64 RTX 4090, PCIe 4, 25 Gb/s Ethernet", 64, RTX_4090, PCIE_4, ETHERNET_25),
)


def collectives(model: Model, gpus: int, kind: Kind, gradient_bytes: int = FLOAT_BYTES) -> dict[str, float]:
    """Bytes that every GPU sends in a step, by collective, in rings."""
    part, whole = (gpus - 1) / gpus, FLOAT_BYTES * model.parameters
    if kind == "FSDP2":
        return {
            "parameters, all-gather before forward": part * whole,
            "parameters, all-gather before backward": part * whole,
            "gradients, reduce-scatter": part * whole,
        }
    return {"gradients, all-reduce": 2 * part * gradient_bytes * model.parameters}


def not_hidden(compute: float, sending: float, pieces: int) -> float:
    """Seconds that a pass takes longer for sending K `pieces` beside it, each once it is there.

    Either the links are done in time, and the one piece at the end (or at the beginning) is left; or they are
    behind from the first piece on.
    """
    return max(sending / pieces, sending - compute * (1 - 1 / pieces))


@dataclass(frozen=True)
class Plan:
    """Seconds of a step: computing, sending, and what of that is at best not hidden behind computing."""

    compute: float
    sending: float
    exposed: float

    @property
    def efficiency(self) -> float:
        """Images a second of a GPU among many, of those of one alone, if all is hidden that can be."""
        return self.compute / (self.compute + self.exposed)

    @property
    def lowest_efficiency(self) -> float:
        """The same if nothing is hidden."""
        return self.compute / (self.compute + self.sending)


def planned(model: Model, cluster: Cluster, kind: Kind, gradient_bytes: int = FLOAT_BYTES) -> Plan:
    """A step of `model` on `cluster`: a third of computing is forward, two thirds are backward."""
    compute = IMAGES * model.flop_an_image / (UTILISATION * cluster.flop_per_second)
    sent = collectives(model, cluster.gpus, kind, gradient_bytes)
    seconds = [count / cluster.bandwidth for count in sent.values()]
    if kind == "FSDP2":
        gather, again, scatter = seconds
        exposed = not_hidden(compute / 3, gather, model.blocks)
        exposed += not_hidden(2 * compute / 3, again + scatter, model.blocks)
    else:
        buckets = math.ceil(FLOAT_BYTES * model.parameters / BUCKET_BYTES)
        exposed = not_hidden(2 * compute / 3, seconds[0], buckets)
    return Plan(compute, sum(seconds), exposed)


def memory_bytes(model: Model, gpus: int, kind: Kind) -> float:
    """Of weights, gradients, moments and average on a GPU; activations come on top."""
    return COPIES * FLOAT_BYTES * model.parameters / (1 if kind == "DDP" else gpus)


def paper() -> str:
    """Three tables in Markdown: bytes of the collectives, times and efficiency, memory."""
    return "\n\n".join([_bytes_table(), _times_table(), _memory_table()])


def _bytes_table() -> str:
    columns = [(model, gpus) for model in MODELS for gpus in (8, 64)]
    kinds: Sequence[Kind] = ("DDP", "FSDP2")
    rows = [
        (f"{kind}: {name}", *(_size(collectives(*column, kind)[name]) for column in columns))
        for kind in kinds
        for name in collectives(*columns[0], kind)
    ]
    finite = (_size(2 * (gpus - 1) / gpus * FINITE_BYTES) for _, gpus in columns)
    rows.append(("both: is it finite?, all-reduce", *finite))
    heads = [f"{model.name}, {gpus} GPUs" for model, gpus in columns]
    return _table(("a step, every GPU sends", *heads), rows, words=1)


def _times_table() -> str:
    rows = []
    for model in MODELS:
        for cluster in CLUSTERS:
            plans = (
                planned(model, cluster, "DDP"),
                planned(model, cluster, "DDP", gradient_bytes=2),
                planned(model, cluster, "FSDP2"),
            )
            cells = [cell for plan in plans for cell in (f"{1000 * plan.sending:.1f}", _range(plan))]
            rows.append((model.name, cluster.name, f"{1000 * plans[0].compute:.1f}", *cells))
    kinds = ("DDP", "DDP in bf16", "FSDP2")
    heads = [head for kind in kinds for head in (f"{kind}, ms", "efficiency, %")]
    return _table(("model", "GPUs", "compute, ms", *heads), rows, words=2)


def _memory_table() -> str:
    layouts: Sequence[tuple[str, int, Kind]] = (
        ("DDP", 1, "DDP"),
        ("FSDP2, 8 GPUs", 8, "FSDP2"),
        ("FSDP2, 64 GPUs", 64, "FSDP2"),
    )
    rows = [
        (name, *(f"{memory_bytes(model, gpus, kind) / 1e9:.1f}" for model in MODELS))
        for name, gpus, kind in layouts
    ]
    return _table(("GB on each GPU, without activations", *(model.name for model in MODELS)), rows, words=1)


def _size(count: float) -> str:
    """Bytes, for people."""
    if count < 1e5:
        return f"{count:.0f} bytes"
    return f"{count / 1e6:.1f} MB" if count < 1e7 else f"{count / 1e6:,.0f} MB"


def _range(plan: Plan) -> str:
    return f"{100 * plan.lowest_efficiency:.0f}–{100 * plan.efficiency:.0f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """In Markdown; the first `words` columns hold words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = ["-" * width if place < words else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    lines = [
        [
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(pairs)
        ]
        for pairs in (zip(row, widths, strict=True) for row in (heads, rule, *rows))
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
