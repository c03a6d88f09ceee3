"""A job that is cut short and goes on, in other processes: as if nothing had happened.

Every task and optimizer, in one process and in two or three over gloo: weights, optimizer and
metrics, to the last bit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cut_short
from command import ROOT
from heliostat.training.checkpoints import existing
from heliostat.training.journal import events, read_all
from heliostat.training.storage import read_json
from resumable_specs import SPECS, STEPS, write_specs

# Seconds, for a machine that is busy: importing torch alone may take ten.
PATIENCE = 300.0

Cut = Callable[..., Path]


@pytest.fixture
def cut(tmp_path: Path) -> Iterator[Cut]:
    """Train the specs of these names in a world, undisturbed and cut short; return the folder."""

    def trained(world_size: int, *names: str) -> Path:
        specs = write_specs(tmp_path, list(names))
        folder = tmp_path / str(world_size)
        folder.mkdir()
        run_world(folder, "whole,cut", specs, world_size)
        return folder

    yield trained
    # The specs' module is another test's too.
    sys.modules.pop("nets", None)


@pytest.mark.parametrize(
    ("world_size", "names"),
    [
        pytest.param(1, ["channels_last", "counting"], id="one"),
        pytest.param(3, ["classification", "translation", "steady"], id="three"),
        *(
            pytest.param(number, list(SPECS), id=f"all-{number}", marks=pytest.mark.slow)
            for number in (1, 2, 3)
        ),
    ],
)
def test_a_job_cut_short_within_an_epoch_ends_as_if_it_had_not_been(
    cut: Cut, world_size: int, names: list[str]
) -> None:
    folder = cut(world_size, *names)
    if "steady" in names and world_size > 1:
        shutil.copytree(folder / "killed" / "steady", folder / "alone" / "killed" / "steady")

    run_world(folder, "resumed", [folder.parent / f"{name}.yaml" for name in names], world_size)

    for name in names:
        whole, killed = folder / "whole" / name, folder / "killed" / name
        records = read_all(killed / "journal")
        (restored,) = events(records, "restored")
        assert 0 < restored["step"] < STEPS, name
        assert differences(whole, killed) == [], name
        assert results(killed, world_size) == results(whole, world_size), name
    if "steady" in names and world_size > 1:
        goes_on_alone(folder, world_size)


def goes_on_alone(folder: Path, world_size: int) -> None:
    """Go on with one worker: the same global batches, so the same losses but for rounding."""
    run_world(folder / "alone", "resumed", [folder.parent / "steady.yaml"], 1)
    alone, whole = (values(folder / part / "steady") for part in ("alone/killed", "whole"))
    assert alone.keys() == whole.keys()
    assert alone == pytest.approx(whole, rel=1e-4)
    assert alone != whole


@pytest.mark.slow
def test_a_job_goes_on_with_more_workers_to_the_same_losses_but_for_rounding(cut: Cut) -> None:
    folder = cut(2, "steady")
    run_world(folder, "resumed", [folder.parent / "steady.yaml"], 3)
    more, whole = (values(folder / part / "steady") for part in ("killed", "whole"))
    assert more == pytest.approx(whole, rel=1e-4)


def run_world(folder: Path, modes: str, specs: list[Path], world_size: int) -> None:
    """Run `cut_short` as every rank of a world to its end; all must succeed."""
    command = [sys.executable, cut_short.__file__, str(folder), modes, *map(str, specs)]
    ours = {
        "PYTHONPATH": str(ROOT / "platform"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WORLD_SIZE": str(world_size),
        # Gloo would listen on the address of the host's name, which need not have one.
        "GLOO_SOCKET_IFNAME": "lo",
    }
    logs = [folder / f"{modes}-{rank}.log" for rank in range(world_size)]
    processes = []
    for rank, log in enumerate(logs):
        with log.open("wb") as output:
            environment = {**os.environ, **ours, "RANK": str(rank)}
            processes.append(
                subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            )
    try:
        for process, log in zip(processes, logs, strict=True):
            assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        for process in processes:
            process.kill()
            process.wait()


def differences(whole: Path, killed: Path) -> list[str]:
    """Return what is not the same to the last bit: files of the last checkpoint, and metrics."""
    files = [contents(each) for each in (whole, killed)]
    found = [name for name in files[0] if files[0][name] != files[1].get(name)]
    told = [values(each) for each in (whole, killed)]
    return found + [str(key) for key in told[0] | told[1] if told[0].get(key) != told[1].get(key)]


def contents(folder: Path) -> dict[str, Any]:
    """Return the SHA-256 of each file of the checkpoint at the last step."""
    newest = existing(folder / "checkpoints")[-1]
    assert newest.step == STEPS
    files = read_json(newest.folder / "manifest.json")["files"]
    return {name: file["sha256"] for name, file in files.items()}


def results(folder: Path, world_size: int) -> list[Any]:
    """Return each rank's final weights, as bytes, and metrics."""
    names = [f"rank-{rank}" for rank in range(world_size)]
    return [
        (
            (folder / f"{name}.safetensors").read_bytes(),
            json.loads((folder / f"{name}.json").read_text()),
        )
        for name in names
    ]


def values(folder: Path) -> dict[tuple[str, int], float]:
    """Return every metric of the journal that isn't measured with a clock, each once."""
    rows = [
        ((record["name"], record["step"]), record["value"])
        for record in read_all(folder / "journal")
        if record["kind"] == "metric"
        and not record["name"].startswith(("system/", "time/", "train/images"))
    ]
    assert len(dict(rows)) == len(rows)
    return dict(rows)
