"""YAML that anybody may have written, safely loaded: no objects, no key twice, no more values than a person would write."""

from __future__ import annotations

from typing import Any

import yaml

from mpifl.errors import InputError

LONGEST_TEXT, LONGEST_VALUE, LONGEST_NUMBER, MOST_VALUES = 1 << 22, 1 << 16, 1000, 1_000_000


def load_yaml(text: str) -> dict[str, Any]:
    """A YAML mapping, safely loaded, in which no key may stand twice. Raises InputError."""
    raw = load_value(text)
    if not isinstance(raw, dict):
        raise InputError(f"expected a mapping of sections, found {type(raw).__name__}")
    return raw


def load_value(text: str) -> Any:
    """Any YAML value, loaded in the same way; None for an empty text. Raises InputError."""
    if len(text) > LONGEST_TEXT:
        raise InputError(f"{len(text):,} characters; allowed: at most {LONGEST_TEXT:,}")
    try:
        loader = _UniqueKeys(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _unfolded(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise InputError("not valid YAML: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        raise _marked(error) from error
    except Exception as error:
        # PyYAML lets Python's own errors through: 2024-99-99 is a ValueError, `!!bool x` a KeyError.
        raise InputError("not valid YAML: " + " ".join(str(error).split())) from error


def _marked(error: yaml.MarkedYAMLError) -> InputError:
    """What YAML has against a text, with the line and a caret below the place."""
    said = ", ".join(part for part in (error.context, error.problem, error.note) if part)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return InputError(f"not valid YAML: {said}")
    shown = (mark.get_snippet() or "").replace("\t", " ").splitlines()
    place = f"line {mark.line + 1}, column {mark.column + 1}"
    return InputError(f"not valid YAML: {place}: {said}", *(shown if shown and shown[0].strip() else ()))


def _unfolded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values there are once every alias stands for what it names, by node in ``known``; 0 while it is counted.

    Raises ValueError when they are too many, or never end: ten lines can stand for more than any memory holds.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError(f"{_line(node)}: an alias stands inside what it names")
        return known[id(node)]
    known[id(node)] = 0
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > (LONGEST_NUMBER if node.tag == "tag:yaml.org,2002:int" else LONGEST_VALUE):
            raise ValueError(f"{_line(node)}: a value of {len(node.value):,} characters")
        inner = []
    else:
        inner = [one for pair in node.value for one in (pair if isinstance(pair, tuple) else (pair,))]
    known[id(node)] = 1 + sum(_unfolded(one, known) for one in inner)
    if known[id(node)] > MOST_VALUES:
        raise ValueError(f"{_line(node)}: with its aliases more than {MOST_VALUES:,} values")
    return known[id(node)]


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML lets the later of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key_node.value!r} stands twice", key_node.start_mark)
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)
