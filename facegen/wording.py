"""Numbers as people read them."""

from __future__ import annotations


def number_text(value: float) -> str:
    """Four significant digits, thousands separated; from ten million on two and a power, as "6.4e+25"."""
    size = abs(value)
    if 1e4 <= size < 1e7:
        return f"{value:,.0f}"
    return f"{value:.2g}" if size >= 1e7 else f"{value:.4g}"
