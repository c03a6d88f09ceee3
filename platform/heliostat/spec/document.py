"""YAML text as plain values, and the line on which each key stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from heliostat.spec.nearest import nearest
from heliostat.spec.problems import InputError, Key, Problem

LARGEST = 4 * 2**20
"""Bytes. A job spec is a page or two; a larger file is something else, named by mistake."""

_LARGEST_INT = 2**63 - 1
"""What 64 bits hold, as JSON readers and databases count; more has no meaning in a spec."""

_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {"str", "timestamp", "value", "merge"}  # a date, `=` and `<<` are plain text here


@dataclass(frozen=True)
class Tree:
    """A YAML document: plain values, and the line (from 1) of each key and list item."""

    values: Any
    lines: dict[Key, int] = field(default_factory=dict)


def read_text(path: Path) -> str:
    """Return the text of the file at `path`.

    Raises InputError if it cannot be read, is too large, or is not UTF-8.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise InputError([Problem("no such file", valid=_neighbour(path), file=file)]) from None
    except IsADirectoryError:
        problem = Problem("is a directory", valid="name a spec file in it", file=file)
        raise InputError([problem]) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError([Problem(f"cannot be read: {reason}", file=file)]) from None
    if len(content) > LARGEST:
        limit = f"at most {LARGEST // 2**20} MiB"
        raise InputError([Problem("too large for a job spec", valid=limit, file=file)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"not UTF-8 text (byte 0x{content[error.start]:02x})"
        raise InputError([Problem(message, valid="UTF-8", file=file, line=line)]) from None


def parse_mapping(text: str, file: str) -> Tree:
    """Return the tree of a spec's text: YAML 1.2, one document, a mapping with text keys.

    Raises InputError with file and line for everything that is wrong with the YAML itself.
    """
    tree = parse_yaml(text, file)
    if tree is None:
        raise InputError([Problem("the file is empty", valid="a job spec", file=file)])
    if not isinstance(tree.values, dict):
        message = "the top level is not a mapping"
        valid = "lines of `key: value`, such as `kind: train`"
        raise InputError([Problem(message, valid=valid, file=file, line=tree.lines[()])])
    return tree


def parse_yaml(text: str, file: str) -> Tree | None:
    """Return the tree of any YAML text, or None where it holds nothing but comments."""
    yaml = YAML(typ="safe", pure=True)  # the C parser knows YAML 1.1 only, where `no` is False
    try:
        node = yaml.compose(text)
    except RecursionError:
        raise InputError([Problem("nested too deeply", file=file)]) from None
    except YAMLError as error:
        raise InputError([_syntax_problem(error, text, file)]) from None
    if node is None:
        return None
    walk = _Walk(yaml, file)
    values = walk.value(node, ())
    if walk.problems:
        raise InputError(walk.problems)
    return Tree(values, walk.lines)


class _Walk:
    """Turns nodes into values, collecting lines and problems on the way."""

    def __init__(self, yaml: YAML, file: str) -> None:
        self.yaml = yaml
        self.file = file
        self.lines: dict[Key, int] = {}
        self.problems: list[Problem] = []
        self.seen: set[int] = set()

    def value(self, node: Node, key: Key) -> Any:
        line = self.lines.setdefault(key, _line(node))
        if id(node) in self.seen:
            return self.wrong("a YAML alias", "write the value out", key, line)
        self.seen.add(id(node))
        if isinstance(node, MappingNode):
            return self.mapping(node, key)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*key, i)) for i, item in enumerate(node.value)]
        return self.scalar(node, key)

    def mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name, line = name_node.value, _line(name_node)
            if not isinstance(name_node, ScalarNode) or _kind(name_node) not in _TEXT_TAGS:
                shown = name if isinstance(name_node, ScalarNode) else "a list or mapping"
                self.wrong(f"the key {shown} is not text", "quote it", key, line)
            elif name in values:
                first = self.lines[(*key, name)]
                message = f"duplicate key (lines {first} and {line})"
                self.wrong(message, "keep one", (*key, name), line)
            else:
                self.lines[(*key, name)] = line
                values[name] = self.value(value_node, (*key, name))
        return values

    def scalar(self, node: Node, key: Key) -> Any:
        kind = _kind(node)
        if kind in _TEXT_TAGS:
            return node.value
        if kind == "null":
            return None
        if kind not in {"bool", "int", "float"}:
            return self.wrong(f"the tag {node.tag} is not known", "plain YAML", key, _line(node))
        try:
            value = getattr(self.yaml.constructor, f"construct_yaml_{kind}")(node)
        except (ValueError, KeyError):  # such as `-_`, which the resolver takes for a number
            return node.value
        if isinstance(value, int) and abs(value) > _LARGEST_INT:
            return self.wrong("the number is too large", "at most 2**63 - 1", key, _line(node))
        return value

    def wrong(self, message: str, valid: str, key: Key, line: int) -> None:
        self.problems.append(Problem(message, key, valid, self.file, line))


def _kind(node: Node) -> str:
    return str(node.tag).removeprefix(_TAG)


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _syntax_problem(error: YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        message = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        return Problem(message, file=file, line=line)
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return Problem(f"broken YAML: {error}", file=file)
    rows = text.splitlines()
    line = min(error.problem_mark.line + 1, max(len(rows), 1))
    row = rows[line - 1] if rows else ""
    if "\t" in row[: len(row) - len(row.lstrip())]:
        return Problem("a tab indents this line", valid="spaces only", file=file, line=line)
    message, valid = _syntax_words(error)
    return Problem(f"broken YAML: {message}", valid=valid, file=file, line=line)


def _syntax_words(error: MarkedYAMLError) -> tuple[str, str]:
    problem = str(error.problem)
    if "mapping values are not allowed" in problem:
        return "a `:` where none can be", "check the indentation, or quote text that holds `: `"
    if "cannot start any token" in problem:
        return problem, "quote the value"
    if "another document" in problem:
        return "a second document", "one spec a file"
    if not error.context:
        return problem, ""
    mark = error.context_mark
    where = f" begun on line {mark.line + 1}" if mark else ""
    return f"{problem}, {error.context}{where}", ""


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f"nor is there a folder {path.parent}"
    near = nearest(path.name, (p.name for p in path.parent.glob("*.y*ml")))
    return f"did you mean {path.parent / near}?" if near else ""
