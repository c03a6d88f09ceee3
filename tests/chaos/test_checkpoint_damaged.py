"""A job that was killed, and whose newest checkpoint is no longer what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos_table import Survived
from disturbed import Disturbed, Reference
from heliostat.training.checkpoints import existing
from heliostat.training.journal import events, read_all

WEIGHTS = "model.safetensors"


def truncated(checkpoint: Path) -> None:
    file = checkpoint / WEIGHTS
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def bit_flipped(checkpoint: Path) -> None:
    file = checkpoint / WEIGHTS
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def without_its_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").unlink()


DAMAGES = (truncated, bit_flipped, without_its_manifest)


@pytest.mark.parametrize(
    "damage", [truncated, *(pytest.param(d, marks=pytest.mark.slow) for d in DAMAGES[1:])]
)
def test_a_damaged_checkpoint_is_passed_over_and_the_one_before_it_gone_on_from(
    damage: Callable[[Path], None],
    begin: Callable[..., Disturbed],
    stands: Path,
    undisturbed: Reference,
    survived: Survived,
) -> None:
    job = begin(CHAOS_STANDS_AT=f"step:75@{stands}")
    job.wait_for_stand(stands)
    assert job.folder
    store = job.folder / "checkpoints"
    job.wait(lambda: [c.step for c in existing(store)] == [40, 60], "two checkpoints")
    assert job.kill()
    damage(existing(store)[-1].folder)
    assert job.go_on().wait() == 0, job.command.err
    records = read_all(job.folder / "journal")
    assert [event["step"] for event in events(records, "restored")] == [40]
    skipped = [event["reason"] for event in events(records, "checkpoint_skipped")]
    if damage is not without_its_manifest:  # of which it is said that it does not exist
        assert ["step-0000000060" in reason for reason in skipped] == [True]
    name = damage.__name__.replace("_", " ")
    survived(f"newest checkpoint {name}", job.assert_nothing_lost(undisturbed))
