"""A spec's file as YAML: what can be wrong before any key is understood."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat.spec import InputError, load
from heliostat.spec.document import LARGEST, parse_mapping

Mistakes = Callable[..., list[str]]


def test_values_are_those_of_yaml_1_2() -> None:
    text = "a: 1e-4\nb: no\nc: 2020-01-01\nd: 017\ne: [true, null, ~]\nf:\ng: '1'\nh: -_\n<<: x\n"
    assert parse_mapping(text, "f").values == {
        "a": 1e-4, "b": "no", "c": "2020-01-01", "d": 17, "e": [True, None, None], "f": None,
        "g": "1", "h": "-_", "<<": "x",
    }  # fmt: skip


def test_every_key_and_item_has_its_line() -> None:
    lines = parse_mapping(
        "# first\na:\n  b: 1\n  c:\n    - 2\n    - d: {e:\n        3}\n", "f"
    ).lines
    assert lines == {
        (): 2, ("a",): 2, ("a", "b"): 3, ("a", "c"): 4, ("a", "c", 0): 5, ("a", "c", 1): 6,
        ("a", "c", 1, "d"): 6, ("a", "c", 1, "d", "e"): 6,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "train.yaml: the file is empty; a job spec"),
        ("# only a comment\n\n", "train.yaml: the file is empty; a job spec"),
        ("\nhello\n", "train.yaml:2: the top level is not a mapping; lines of `key: value`, such"),
        ("- kind: train\n", "train.yaml:1: the top level is not a mapping"),
        ("a: 1\nb:\n\tc: 2\n", "train.yaml:3: a tab indents this line; spaces only"),
        ("a: 1\nb: [1,\n", "train.yaml:2: broken YAML: expected the node content"),
        ("a: 'x\n\n\n", "begun on line 1"),
        ("a: 1\nb: c: d\n", "train.yaml:2: broken YAML: a `:` where none can be; check the"),
        ("a: @x\n", "train.yaml:1: broken YAML: found character '@' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", "train.yaml:2: broken YAML: a second document; one spec a file"),
        ("a: 1\nb: *c\n", "train.yaml:2: broken YAML: found undefined alias 'c'"),
        ("a: &x 1\nb: *x\n", "train.yaml:2: b: a YAML alias; write the value out"),
        ("a: &x\n  b: *x\n", "train.yaml:2: a.b: a YAML alias; write the value out"),
        ("a: 1\nb: !!python/object:os.system 2\n", "train.yaml:2: b: the tag"),
        ("a: 1\n5: x\n", "train.yaml:2: the key 5 is not text; quote it"),
        ("a: 1\n? [x, y]\n: 2\n", "train.yaml:2: the key a list or mapping is not text; quote it"),
        ("a: 1\nb: x\x00y\n", "train.yaml:2: the character U+0000 is not allowed in YAML"),
        ("[" * 1500, "train.yaml: nested too deeply"),
    ],
)
def test_broken_yaml_is_one_line_with_its_place(
    mistakes: Mistakes, text: str, expected: str
) -> None:
    (line,) = mistakes(text)
    assert expected in line
    assert line.startswith("train.yaml:")


def test_a_duplicate_key_names_both_lines_and_all_are_reported(mistakes: Mistakes) -> None:
    assert mistakes("a: 1\nb: {c: 1,\n  c: 2}\na: 2\n") == [
        "train.yaml:3: b.c: duplicate key (lines 2 and 3); keep one",
        "train.yaml:4: a: duplicate key (lines 1 and 4); keep one",
    ]


def test_a_file_that_is_not_utf_8_is_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("kind: train\nname: été\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.yaml:2: not UTF-8 text \(byte 0xe9\)"):
        load(path)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    content = "\ufeffa: 1\r\nb: 2\r\n".encode()
    tree = parse_mapping(content.decode("utf-8-sig"), "f")
    assert tree.values == {"a": 1, "b": 2}
    assert tree.lines[("b",)] == 2


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("kind: train\n")
    with pytest.raises(InputError, match=r"trian.yaml: no such file; did you mean .*/train.yaml\?"):
        load(tmp_path / "trian.yaml")
    with pytest.raises(InputError, match="no such file; nor is there a folder"):
        load(tmp_path / "nowhere" / "train.yaml")


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory; name a spec file in it"):
        load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be read: Not a directory"):
        load(tmp_path / "file" / "train.yaml")
    with pytest.raises(InputError, match="cannot be read: embedded null byte"):
        load("train\0.yaml")
    large = tmp_path / "large.yaml"
    with large.open("wb") as stream:
        stream.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="too large for a job spec; at most 4 MiB"):
        load(large)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_says_so(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("kind: train\n")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        load(path)
