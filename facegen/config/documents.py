"""Reading YAML and JSON that anybody may have written: bounded, and wrong in one way only, a `ValueError`."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any, cast

import yaml

MOST_NODES = 100_000  # of a YAML document with its aliases written out
DEEPEST = 100  # lists and mappings within one another


class _OnceLoader(yaml.SafeLoader):
    """A key that stands twice in one mapping is an error; YAML's own loader lets the second win."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:  # the time that the parser takes grows with the square of it
            raise ValueError("nested too deeply")
        found = super().compose_node(parent, index)
        self._depth -= 1
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"'{key.value}' stands there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str | bytes) -> Any:
    """Plain data from YAML in UTF-8 or UTF-16; no tag makes an object.

    Raises:
        ValueError: not YAML, a key twice, nested too deeply, or aliases that would unfold to very much.
    """
    try:
        loader = _OnceLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {}, ())
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except (AttributeError, LookupError, TypeError, OverflowError) as error:  # of a tag that does not fit
        raise ValueError(f"a value does not fit its tag ({error})") from error


def parse_json(text: str | bytes) -> Any:
    """Plain data from JSON.

    Raises:
        ValueError: not JSON, nested too deeply, or with half of a character that no file can hold.
    """
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if b"\\u" in text if isinstance(text, bytes) else "\\u" in text:
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("half of a character (\\ud800 to \\udfff alone)") from error
    level = [data]
    for _ in range(DEEPEST):
        level = [inner for one in level if isinstance(one, dict | list) for inner in _inside(one)]
        if not level:
            return data
    raise ValueError("nested too deeply")


def mapping_of(value: Any) -> dict[str, Any] | None:
    """`value` if it is a mapping whose keys are words, None otherwise."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in cast(dict[Any, Any], value)):
        return cast(dict[str, Any], value)
    return None


def _inside(value: dict[str, Any] | list[Any]) -> list[Any]:
    return [*value.values()] if isinstance(value, dict) else value


def _unfolded(node: yaml.Node, sizes: dict[int, int], within: tuple[int, ...]) -> int:
    """How many nodes there are with every alias written out."""
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in within:
        raise ValueError("a value stands within itself")
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [each for pair in node.value for each in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    size = 1 + sum(_unfolded(child, sizes, (*within, id(node))) for child in children)
    if size > MOST_NODES:
        raise ValueError(f"its aliases unfold to more than {MOST_NODES:,} values")
    sizes[id(node)] = size
    return size
