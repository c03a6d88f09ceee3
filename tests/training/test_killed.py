"""A training process that is killed, and the attempt after it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from heliostat.spec import Document
from heliostat.training.journal import events, read_all
from standing_still import MODEL, OVERRIDES, PATIENCE, newest, start, told, values
from waiting import wait_until


def test_after_a_kill_the_weights_are_those_of_an_undisturbed_run_and_no_step_is_told_twice(
    write: Callable[..., Document],
    train_here: Callable[..., dict[str, float]],
    tmp_path: Path,
) -> None:
    document = write(MODEL, *OVERRIDES)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_at_step(9, document, killed)

    metrics = train_here(document, killed, attempt=2)
    assert metrics == train_here(document, whole)
    mended, undisturbed = (load_file(f / "model" / "weights.safetensors") for f in (killed, whole))
    assert mended.keys() == undisturbed.keys()
    assert all(torch.equal(mended[name], undisturbed[name]) for name in mended)

    records = read_all(killed / "journal")
    assert values(killed) == values(whole)
    (restored,) = events(records, "restored")
    (repeated,) = events(records, "repeated")
    assert restored["step"] == 6
    assert repeated["steps"] == 1  # the mean loss up to step 8, of which the journal had heard
    assert repeated["largest_difference"] == 0


def kill_at_step(step: int, document: Document, folder: Path) -> None:
    """Train in a process that stands still in the forward pass of `step`, and kill it there."""
    with start(document, folder, STAND_STILL_AT=str(step)) as process:
        try:
            wait_until(
                lambda: told(folder) >= step - 1 and newest(folder) >= step - 3,
                PATIENCE,
                lambda: told(folder),
            )
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
