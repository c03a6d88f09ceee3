from __future__ import annotations

import math
from pathlib import Path

from heliostat.training.journal import Journal, JournalReader, events, read_all
from heliostat.training.reporter import Reporter


def test_a_reader_follows_and_never_sees_a_torn_line(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "journal")
    assert reader.new_records() == []
    journal = Journal(tmp_path / "journal", attempt=1, rank=0)
    journal.write("event", name="one")
    journal.close()
    assert [r["name"] for r in reader.new_records()] == ["one"]
    (segment,) = (tmp_path / "journal").iterdir()
    with segment.open("a") as file:
        file.write('{"kind":"event","name":"tw')
        file.flush()
        assert reader.new_records() == []
        file.write('o","time":1}\n')
    assert [(r["name"], r["attempt"], r["rank"]) for r in reader.new_records()] == [("two", 1, 0)]
    assert reader.new_records() == []


def test_a_line_torn_by_a_crash_hides_nothing_of_the_next_attempt(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    tell(tmp_path, 1, 0, "before")
    (segment,) = tmp_path.iterdir()
    with segment.open("a") as file:
        file.write('{"kind":"metr')
    tell(tmp_path, 2, 1, "after")
    assert [(r["name"], r["attempt"], r["rank"]) for r in reader.new_records()] == [
        ("before", 1, 0),
        ("after", 2, 1),
    ]


def test_a_journal_goes_on_in_another_segment_and_is_read_in_its_order(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    journal = Journal(tmp_path, attempt=1, rank=0)
    for number in range(12):
        journal.write("event", name=f"{number}", filler="x" * 900_000)
        if number == 6:
            followed = [r["name"] for r in reader.new_records()]
    journal.close()
    assert len(list(tmp_path.iterdir())) > 2
    names = [f"{number}" for number in range(12)]
    assert [r["name"] for r in read_all(tmp_path)] == names
    assert followed + [r["name"] for r in reader.new_records()] == names


def test_what_is_repeated_after_a_restart_is_compared_and_not_recorded_again(
    tmp_path: Path,
) -> None:
    first = Reporter(tmp_path, attempt=1)
    for step in range(1, 6):
        first.metrics({"train/loss": 1 / step}, step=step)
    first.metrics({"val/loss": math.nan}, step=5)
    first.metrics({"train/images_per_second": 100.0}, step=5, reproducible=False)
    first.close()
    second = Reporter(tmp_path, attempt=2)
    second.goes_on_from(3)
    for step in range(4, 7):
        second.metrics({"train/loss": 1 / step + (0.25 if step == 5 else 0)}, step=step)
    second.metrics({"val/loss": math.nan}, step=5)
    second.metrics({"train/images_per_second": 90.0}, step=5, reproducible=False)
    second.close()
    records = read_all(tmp_path / "journal")
    losses = {(r["step"], r["value"]) for r in records if r.get("name") == "train/loss"}
    assert losses == {(step, 1 / step) for step in range(1, 7)}
    assert sum(r["kind"] == "metric" for r in records) == 6 + 1 + 1
    (repeated,) = events(records, "repeated")
    assert (repeated["steps"], repeated["largest_difference"]) == (2, 0.25)


def tell(folder: Path, attempt: int, rank: int, name: str) -> None:
    journal = Journal(folder, attempt=attempt, rank=rank)
    journal.write("event", name=name)
    journal.close()
