"""The ledger: whole lines only, synced, and sound after a torn one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from heliostat.search.ledger import Ledger, read_records


def test_records_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", clock=lambda: 12.5)
    ledger.append([{"kind": "suggested", "trial": 0}, {"kind": "leg", "trial": 0}])
    ledger.append([{"kind": "told", "trial": 0, "time": 7}])
    assert Ledger(tmp_path / "ledger.jsonl").records() == [
        {"time": 12500, "kind": "suggested", "trial": 0},
        {"time": 12500, "kind": "leg", "trial": 0},
        {"time": 7, "kind": "told", "trial": 0},
    ]


def test_a_line_torn_at_any_byte_is_not_read_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, clock=lambda: 0.0)
    ledger.append([{"kind": "leg", "trial": 0}])
    whole = path.read_bytes()
    ledger.append([{"kind": "leg", "trial": 1, "values": {"a": "ä\n"}}])
    torn = path.read_bytes()
    for size in range(len(whole), len(torn)):
        path.write_bytes(torn[:size])
        assert [record["trial"] for record in read_records(path)[0]] == [0]
        Ledger(path).append([{"kind": "leg", "trial": 2}])
        assert [record["trial"] for record in read_records(path)[0]] == [0, 2]


def test_a_tail_of_zeros_is_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"  # as file systems leave it after a power failure
    Ledger(path).append([{"kind": "leg", "trial": 0}])
    for tail in (b"\0" * 64, b"\0" * 64 + b"\n"):
        path.write_bytes(path.read_bytes() + tail)
        Ledger(path).append([{"kind": "leg", "trial": 1}])
    assert [record["trial"] for record in Ledger(path).records()] == [0, 1, 1]


def test_a_spoilt_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"kind": "begun"}\n{"kind": \n{"kind": "leg"}\n')
    with pytest.raises(ValueError, match="byte 18: not a record"):
        read_records(path)


def test_a_reader_goes_on_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    assert read_records(path) == ([], 0)
    ledger = Ledger(path)
    ledger.append([{"kind": "leg", "trial": 0}])
    first, offset = read_records(path)
    ledger.append([{"kind": "leg", "trial": 1}])
    second, offset = read_records(path, offset)
    assert [record["trial"] for record in first + second] == [0, 1]
    assert offset == path.stat().st_size


def test_what_json_cannot_hold_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    with pytest.raises(ValueError, match="Out of range float values"):
        ledger.append([{"kind": "leg"}, {"kind": "told", "values": [float("nan")]}])
    assert not path.exists()


def test_records_are_on_the_disk_when_append_returns_with_one_sync(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    synced: list[list[str]] = []

    def sync(descriptor: int) -> None:
        os.fsync(descriptor)
        synced.append([json.loads(line)["kind"] for line in path.read_text().splitlines()])

    ledger = Ledger(path, sync=sync)
    ledger.append([{"kind": "begun"}])
    assert len(synced) == 2  # the file, and its folder
    ledger.append([{"kind": "suggested"}, {"kind": "leg"}])
    assert synced[2:] == [["begun", "suggested", "leg"]]
