"""Whether what is installed is what facegen, and the libraries among each other, work with."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from facegen.doctor.diagnosis import Problem
from facegen.doctor.wheels import fitting_torchvision, install, installed_version

if TYPE_CHECKING:
    from packaging.requirements import Requirement

OURS = "facegen"
NOT_FOR_USE = {"test", "lint"}  # extras


def requirements(name: str = OURS, extra: str = "") -> list[Requirement]:
    """What a distribution needs, or an `extra` of it beyond that.

    Nothing where it is not installed, as in a checkout, and where packaging itself cannot be imported, which
    the probe tells.
    """
    try:
        from packaging.requirements import Requirement

        told = distribution(name).requires or []
    except (ImportError, PackageNotFoundError):
        return []
    found = map(Requirement, told)
    if extra:
        return [one for one in found if one.marker and _only_by(extra, one)]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def _only_by(extra: str, one: Requirement) -> bool:
    assert one.marker is not None
    return one.marker.evaluate({"extra": extra}) and not one.marker.evaluate({"extra": ""})


def extras() -> dict[str, list[Requirement]]:
    """The extras of facegen that are for use, with what each needs."""
    try:
        names = distribution(OURS).metadata.get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return {}
    found = {name: requirements(extra=name) for name in names if name not in NOT_FOR_USE}
    return {name: [one for one in needed if one.name != OURS] for name, needed in found.items()}


def unmet(needed: list[Requirement], index: str | None) -> Iterator[Problem]:
    """Libraries that are absent, or of a version that facegen does not work with; `index` is torch's."""
    for one in needed:
        found = installed_version(one.name)
        if _is_met(one, found):
            continue
        has = "is not installed" if found is None else f"is {found}"
        told = f"{one.name} {has}, and facegen needs {one.name}{one.specifier}."
        mend = install(f"{one.name}{one.specifier}", index=index if one.name == "torch" else None)
        yield Problem(f"version of {one.name}", "breaks", told, mend)


def unmet_extras() -> Iterator[Problem]:
    """What an extra needs and is there, of a version that facegen does not work with."""
    for name, needed in extras().items():
        for one in needed:
            found = installed_version(one.name)
            if found is not None and not _is_met(one, found):
                told = f"{one.name} is {found}, and facegen's extra '{name}' needs {one.name}{one.specifier}."
                yield Problem(
                    f"version of {one.name}", "hinders", told, install(f"{one.name}{one.specifier}")
                )


def conflicts(needed: list[Requirement], index: str | None) -> Iterator[Problem]:
    """What the libraries that facegen stands on need of each other and do not have.

    The mend names both, so that pip finds versions that fit. torchvision, which is made for one torch, is
    exchanged for the one of the torch that is there; `index` is torch's.
    """
    ours = {one.name: one for more in extras().values() for one in more} | {one.name: one for one in needed}
    asking = list(ours)
    for asker in asking:  # grows
        if asker in ours and not _is_met(ours[asker], installed_version(asker)):
            continue  # which is told of itself
        for one in requirements(asker):
            found = installed_version(one.name)
            if found is not None and one.name not in asking:
                asking.append(one.name)
            if not _is_met(one, found) and (one.name not in ours or _is_met(ours[one.name], found)):
                yield _conflict(ours.get(asker, asker), one, ours.get(one.name, one), index)


def _conflict(asker: Requirement | str, asked: Requirement, ours: Requirement, index: str | None) -> Problem:
    """What an installed library asks of another, and what facegen asks of that."""
    name = asker if isinstance(asker, str) else asker.name
    found = installed_version(asked.name)
    has = "is not installed" if found is None else f"is {found}"
    told = f"{name} {installed_version(name)} needs {asked.name}{asked.specifier}, and {asked.name} {has}."
    if name == "torchvision":
        mend = install(fitting_torchvision(), index=index, afresh=True, alone=True)
        return Problem("torchvision of another torch", "hinders", told, mend)
    spelled = name if isinstance(asker, str) else f"{name}{asker.specifier}"
    return Problem(
        f"{name} and {asked.name}", "hinders", told, install(spelled, f"{ours.name}{ours.specifier}")
    )


def _is_met(one: Requirement, found: str | None) -> bool:
    return found is not None and one.specifier.contains(found, prereleases=True)
