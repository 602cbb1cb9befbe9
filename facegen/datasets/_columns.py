"""What a column of labels is: yes/no, a class, numbers or remarks, told by all its values together.

Two readings that are equally likely are refused, with both and the option that decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from facegen.errors import DataError, UsageError

CLASS_NAMES = ("label", "labels", "class", "category", "target")
MAX_CLASSES = 1000  # more different words than this are a remark, not a class
FORMS = ("yes-no", "yes-no-unknown", "class", "number", "remark")
NOTHING = frozenset({"nan", "na", "n/a", "<na>", "#n/a", "null"})  # as tools write an empty cell
_UNDECIDED = NOTHING | {"none", "unknown", "?", "-"}  # besides, among numbers and yes/no
_YES_NO = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_LETTERS = ({"y": 1.0, "n": 0.0}, {"t": 1.0, "f": 0.0})  # read so only where both occur
_TOO_FEW = 5

Role = Literal["attribute", "class", "number", "remark", "nothing"]
Where = Callable[[str], str]  # a value -> where it stands first


@dataclass(frozen=True)
class Column:
    """What a column was taken for. `read` turns a cell's words into its value, or None for unknown.

    `values` are a class's names in order, `told` says what is worth knowing, `mended` what was changed.
    """

    role: Role
    read: Callable[[str | None], Any] = field(repr=False)
    values: tuple[str, ...] = ()
    told: str = ""
    mended: str = ""


def judge(
    name: str, cells: Sequence[str | None], form: str | None, where: Where, *, trinary: bool = False
) -> Column:
    """Say what the column `name` is by its `cells`, or read it in the `form` that was asked for.

    `trinary` says that 0 means "not decided" in another column of the same table.

    Raises:
        DataError: its values allow two readings; both are shown.
        UsageError: its values do not fit the form.
    """
    found = Counter(cell for cell in cells if cell is not None)
    counted = Counter({value: count for value, count in found.items() if value.casefold() not in NOTHING})
    blanks = sorted({value for value in found if value.casefold() in NOTHING})
    unknown = sum(cell is None for cell in cells) + sum(found[value] for value in blanks)
    told = f"{unknown:,} unknown{', written ' if blanks else ''}{', '.join(blanks)}" if unknown else ""
    if not counted:
        return Column("nothing", _unread, told="always empty")
    read = _in_form(name, counted, form, where) if form else _by_values(name, counted, where, trinary=trinary)
    return Column(read.role, read.read, read.values, "; ".join(filter(None, (read.told, told))), read.mended)


def is_trinary(cells: Iterable[str | None]) -> bool:
    """Whether 1, 0 and -1 all occur, and nothing else: then 0 can only mean "not decided"."""
    numbers = {
        _number(value) for value in set(cells) if value is not None and value.casefold() not in NOTHING
    }
    return numbers == {-1.0, 0.0, 1.0}


def parse_form(text: str) -> tuple[str | None, str]:
    """ "class:race" as the form "class" and the name "race"; other names have no form.

    Raises:
        UsageError: no name behind the form.
    """
    form, separator, name = text.partition(":")
    if not separator or form not in FORMS:
        return None, text
    if not name:
        raise UsageError(f"'{text}' names no column.", hint=f"Example: {form}:mood=column_7")
    return form, name


def _by_values(name: str, counted: Counter[str], where: Where, *, trinary: bool) -> Column:
    signs = _signs(counted)
    numbers = {value: number for value in counted if (number := _number(value)) is not None}
    undecided = {value for value in counted if value.casefold() in _UNDECIDED}
    others = [value for value in counted if value not in undecided]
    if name.casefold() in CLASS_NAMES and {*others} == {"0", "1"}:  # numbers of two classes
        return _classes(counted)
    if signs and all(value in signs for value in others):
        return _yes_no(name, others, signs, where, trinary=trinary)
    _refuse_mostly(name, counted, [value for value in others if value not in signs], "yes-no", where)
    if all(value in numbers for value in others):
        if name.casefold() in CLASS_NAMES and all(number.is_integer() for number in numbers.values()):
            return _classes(counted)
        return _numbers(others)
    commas = {value: number for value in others if (number := _number(value.replace(",", "."))) is not None}
    if len(commas) == len(others):
        return _numbers(others, comma=True)
    _refuse_mostly(name, counted, [value for value in others if value not in numbers], "number", where)
    limit = min(MAX_CLASSES, max(2, sum(counted.values()) // 2))
    different = {_spelling(value) for value in counted}
    return _classes(counted) if len(different) <= limit else Column("remark", _as_words)


def _in_form(name: str, counted: Counter[str], form: str, where: Where) -> Column:
    others = [value for value in counted if value.casefold() not in _UNDECIDED]
    if form == "class":
        return _classes(counted)
    if form == "remark":
        return Column("remark", _as_words)
    if form == "number":
        wrong = [value for value in others if _number(value.replace(",", ".")) is None]
        reading = _numbers(others, comma=any("," in value for value in others)) if not wrong else None
    else:
        signs = _signs(counted)
        wrong = [value for value in others if value not in signs]
        three = {-1.0: False, 0.0: None if form == "yes-no-unknown" else False, 1.0: True}
        reading = Column("attribute", _reader({v: three[signs[v]] for v in others})) if not wrong else None
    if reading is None:
        raise UsageError(f"{where(wrong[0])}, column '{name}': '{wrong[0]}' cannot be read as {form}.")
    return reading


def _signs(counted: Mapping[str, int]) -> dict[str, float]:
    """Values that can say yes or no -> 1, 0 or -1."""
    signs = {value: number for value in counted if (number := _number(value)) in (-1.0, 0.0, 1.0)}
    lowered = {value.casefold() for value in counted}
    known = dict(_YES_NO)
    for pair in _LETTERS:
        known |= pair if {*pair} <= lowered else {}
    return signs | {value: known[value.casefold()] for value in counted if value.casefold() in known}


def _yes_no(
    name: str, values: list[str], signs: Mapping[str, float], where: Where, *, trinary: bool
) -> Column:
    seen = {signs[value] for value in values}
    zero = next((value for value in values if signs[value] == 0 and _number(value) == 0), None)
    if seen == {-1.0, 0.0, 1.0}:
        meaning: bool | None = None
    elif zero is not None and (seen == {-1.0, 0.0} or (trinary and -1.0 not in seen)):
        raise DataError(
            f"{where(zero)}, column '{name}': '{zero}' may mean no, or not decided: "
            + ("other columns have 1, 0 and -1." if trinary else "besides it only -1 occurs."),
            hint=f"Say which: --columns yes-no:{name}={name} or --columns yes-no-unknown:{name}={name}",
        )
    else:
        meaning = False
    three = {1.0: True, 0.0: meaning, -1.0: False}
    told = f"'{zero}' is 'not decided', as 1 and -1 occur too" if zero is not None and meaning is None else ""
    return Column("attribute", _reader({value: three[signs[value]] for value in values}), told=told)


def _numbers(values: list[str], *, comma: bool = False) -> Column:
    plain = {value: value.replace(",", ".") if comma else value for value in values}
    whole = all(_is_int(text) for text in plain.values())
    read = _reader({value: int(text) if whole else float(text) for value, text in plain.items()})
    return Column("number", read, told="decimal commas" if comma else "")


def join_spellings(counted: Mapping[str, int]) -> tuple[dict[str, str], str]:
    """Names that differ by case or blanks alone are one, spelt as the commonest: name -> its spelling, and
    what was joined in words ("" for nothing)."""
    alike: dict[str, list[str]] = {}
    for name in sorted(counted):
        alike.setdefault(_spelling(name), []).append(name)
    chosen = {name: max(same, key=lambda each: counted[each]) for same in alike.values() for name in same}
    joined = [f"{' and '.join(same)} as {chosen[same[0]]}" for same in alike.values() if len(same) > 1]
    return chosen, f"names that differ by case alone joined: {'; '.join(joined)}" if joined else ""


def some_of(names: Sequence[str]) -> str:
    """The first six, and dots for more."""
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def numbers_rows(cells: Sequence[str | None]) -> bool:
    """Whether a column holds nothing but different whole numbers, as an index does."""
    return all(cell is not None and cell.isdigit() for cell in cells) and len({*cells}) == len(cells)


def _classes(counted: Counter[str]) -> Column:
    chosen, joined = join_spellings(counted)
    names = sorted(set(chosen.values()), key=lambda text: (_number(text) is None, _number(text) or 0, text))
    told = "" if len(names) > 1 else f"every image has '{names[0]}', so it tells nothing"
    return Column("class", _reader(chosen), tuple(names), told, joined)


def _spelling(value: str) -> str:
    return " ".join(value.casefold().split())


def _refuse_mostly(name: str, counted: Counter[str], rest: list[str], form: str, where: Where) -> None:
    """Refuse a column where nearly all values have a form: the `rest` may be mistakes, or it has another."""
    odd = sum(counted[value] for value in rest)
    fitting = sum(count for value, count in counted.items() if value.casefold() not in _UNDECIDED) - odd
    all_numbers = all(_number(value) is not None for value in rest)
    share = 0.05 if form == "yes-no" and all_numbers else 0.2  # 0, 1 and some 2 are counts
    if not rest or fitting < _TOO_FEW or odd > max(1, share * (fitting + odd)):
        return
    other = "number" if all_numbers else "class"
    raise DataError(
        f"{where(rest[0])}, column '{name}': '{rest[0]}' where {fitting:,} other values are {form}.",
        hint=f"Mend it, leave the cell empty, or say what the column is: --columns {other}:{name}={name}",
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if "_" not in text and abs(number) < float("inf") else None


def _is_int(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def _reader(known: Mapping[str, Any]) -> Callable[[str | None], Any]:
    return lambda cell: None if cell is None else known.get(cell)


def _as_words(cell: str | None) -> str | None:
    return None if cell is None or cell.casefold() in NOTHING else cell


def _unread(cell: str | None) -> None:
    return None
