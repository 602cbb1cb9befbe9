"""What terms say of handing images on, and how the hub names terms."""

from __future__ import annotations

import re
from typing import Any

FREE = "free for personal and commercial use"  # as the terms of rendered avatars say
OPEN = (  # the hub's names of terms that let images be handed on, cropped and resized
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "unlicense", "wtfpl"),
    *("cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0"),
    *(
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
    ),
    *("odc-by", "odbl", "pddl", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0"),
)
OTHER = ("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "openrail", "c-uda", "gpl-3.0", "agpl-3.0")
_ADDRESS = re.compile(r"https?://[^\s(),]+")


def may_be_shown(licence: str | None) -> bool:
    """Whether these terms are known to let the images be handed on; several count as all of them."""
    told = (licence or "").casefold()
    return FREE in told or all(one.strip() in OPEN for one in told.split(","))


def named_licence(licence: str | None) -> dict[str, Any]:
    """The terms of data as the hub's own fields; what it has no name for is "other", with their words."""
    told = (licence or "").casefold().strip()
    if not told or told == "unknown":
        return {"license": "unknown"}
    if told in (*OPEN, *OTHER):
        return {"license": told}
    return {"license": "other", "license_name": slug(re.split(r"[,(]", told)[0]), **licence_link(licence)}


def licence_link(licence: str | None) -> dict[str, str]:
    """The address that the terms name, if they do, as the hub's field."""
    found = _ADDRESS.search(licence or "")
    return {"license_link": found[0]} if found else {}


def slug(text: str) -> str:
    """Words as names on the hub are written: "celeba-hq"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "licence"
