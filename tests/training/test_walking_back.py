"""The newest checkpoint is spoilt: what is gone on from instead, and what is said of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from heliostat.spec import Document
from heliostat.training.checkpoints import CheckpointStore, existing
from heliostat.training.journal import events, read_all
from heliostat.training.verifying import MANIFEST, WEIGHTS

Spoil = Callable[[Path], object]


def store(folder: Path, **settings: Any) -> CheckpointStore:
    return CheckpointStore(
        folder, **{"attempt": 1, "keep_best": 1, "keep_latest": 3, "maximize": True, **settings}
    )


def save(to: CheckpointStore, step: int, objective: float | None = None) -> None:
    to.save(step, {"weight": torch.full((50,), float(step))}, {"at": step}, objective=objective)
    to.wait()


def steps(folder: Path) -> list[int]:
    return [checkpoint.step for checkpoint in existing(folder)]


def flip(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-7] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def truncate(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-5])


def rewrite(name: str, content: bytes) -> Spoil:
    """Return what puts other content under a name, and into the manifest as if it were meant."""

    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(content)
        manifest = json.loads((folder / MANIFEST).read_text())
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"size": len(content), "sha256": digest}
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return spoil


def remanifest(**changed: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps({**manifest, **changed}))

    return spoil


FACTS = {"size": 1, "sha256": ""}
SPOILT: list[tuple[Spoil, str]] = [
    (flip, "model.safetensors has another content than was written"),
    (truncate, "model.safetensors has 267 bytes of 272"),
    (lambda folder: (folder / "state.json").unlink(), "state.json is missing"),
    (lambda folder: (folder / MANIFEST).unlink(), "it has no manifest"),
    (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\x00{"), "its manifest is not one: "),
    (lambda folder: (folder / MANIFEST).write_text("[1, 2]"), "its manifest is not one: it lacks"),
    (lambda folder: (folder / MANIFEST).write_text('"?"'), "its manifest is not one: it lacks"),
    (remanifest(files={"../../job.json": FACTS}), "it names '../../job.json'"),
    (remanifest(files={"..": FACTS}), "it names '..'"),
    (remanifest(files={}), "it does not name model.safetensors"),
    (remanifest(format=9), "its format is 9, not 1"),
    (remanifest(step="last"), "its step is no number"),
    (rewrite("state.json", b"{half"), "state.json cannot be understood: "),
    (rewrite(WEIGHTS, b"\xff" * 100), "model.safetensors cannot be understood: "),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILT, ids=[reason for _, reason in SPOILT])
def test_a_newest_checkpoint_that_is_spoilt_is_passed_over_with_the_reason(
    tmp_path: Path, spoil: Spoil, reason: str
) -> None:
    written = store(tmp_path)
    save(written, 10, 0.5)
    save(written, 20, 0.9)
    spoil(existing(tmp_path)[-1].folder)

    after = store(tmp_path, attempt=2)
    newest, skipped = after.newest()

    assert newest is not None
    assert (newest.step, newest.state()["at"]) == (10, 10)
    assert torch.equal(newest.weights()["weight"], torch.full((50,), 10.0))
    (told,) = skipped
    assert told.startswith("step-0000000020-a0001: ")
    assert reason in told
    assert after.best() == newest

    save(after, 20, 0.9)  # only now is what was spoilt removed
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-0000000010-a0001",
        "step-0000000020-a0002",
    ]


def test_what_is_spoilt_takes_nobodys_place_among_the_latest(tmp_path: Path) -> None:
    written = store(tmp_path, keep_best=0, keep_latest=2)
    save(written, 10)
    save(written, 20)
    flip(existing(tmp_path)[-1].folder)
    after = store(tmp_path, keep_best=0, keep_latest=2, attempt=2)
    after.newest()
    save(after, 15)
    assert steps(tmp_path) == [10, 15]  # 20 would be one of two, and only 15 would be good


def test_the_best_of_a_way_that_is_not_gone_on_with_is_the_best_no_more(tmp_path: Path) -> None:
    written = store(tmp_path)
    for step, objective in ((10, 0.5), (20, 0.9), (30, None)):
        save(written, step, objective)
    flip(existing(tmp_path)[-1].folder)
    (existing(tmp_path)[1].folder / WEIGHTS).unlink()
    after = store(tmp_path, attempt=2)
    newest, skipped = after.newest()
    assert newest is not None
    assert (newest.step, len(skipped)) == (10, 2)
    save(after, 20, 0.8)
    best = after.best()
    assert best is not None
    assert (best.step, best.objective, best.attempt) == (20, 0.8, 2)


def test_a_job_whose_best_checkpoint_is_spoilt_reports_the_weights_that_it_has(
    write: Callable[..., Document], train_here: Callable[..., dict[str, float]], tmp_path: Path
) -> None:
    options = (
        "objective={metric: val/loss, goal: minimize}",
        "checkpoint.keep_latest=9",
        "max_steps=null",
        "epochs=3",
    )
    folder, document = tmp_path / "job", write("", *options)
    improving = [m["val/loss"] for m in [train_here(document, folder)]]
    rated = [c for c in existing(folder / "checkpoints") if c.objective is not None]
    assert len(rated) == 3  # each epoch is better than the one before
    flip(rated[-1].folder)

    metrics = train_here(document, folder, attempt=2)

    assert metrics["val/loss"] == improving[0]  # the third epoch was trained again
    for each in existing(folder / "checkpoints"):
        flip(each.folder)
    assert len(existing(folder / "checkpoints")) == 3
    assert train_here(document, folder, attempt=3) == metrics
    skipped = events(read_all(folder / "journal"), "checkpoint_skipped")
    assert [record["attempt"] for record in skipped] == [2, 3, 3, 3]


def test_where_only_the_best_is_spoilt_the_next_best_takes_its_place(
    write: Callable[..., Document], train_here: Callable[..., dict[str, float]], tmp_path: Path
) -> None:
    options = ("objective={metric: val/accuracy, goal: maximize}", "checkpoint.keep_latest=9")
    folder = tmp_path / "job"
    document = write("", *options, "max_steps=null", "epochs=2")
    train_here(document, folder)
    places = [c.folder for c in existing(folder / "checkpoints") if c.objective is not None]
    told = {
        record["step"]: record["value"]
        for record in read_all(folder / "journal")
        if record.get("name") == "val/accuracy"
    }
    (first, second) = existing(folder / "checkpoints")
    assert places == [first.folder, second.folder]
    # A third that no evaluation belongs to is what is gone on from.
    third = CheckpointStore(
        folder / "checkpoints", attempt=2, keep_best=1, keep_latest=9, maximize=True
    )
    third.save(second.step, second.weights(), second.state())
    third.wait()
    flip(second.folder)

    metrics = train_here(document, folder, attempt=3)

    assert metrics["val/accuracy"] == told[first.step] != told[second.step]
    (lost,) = events(read_all(folder / "journal"), "best_lost")
    assert (lost["value"], lost["instead"]) == (told[second.step], first.folder.name)
