from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from heliostat.runtime.events import Note, Phase, Progress
from heliostat.runtime.outcome import Failure, Outcome
from heliostat.spec.problems import InputError, Problem

METRICS = {"train/loss": 0.123456, "val/accuracy": 0.95, "test/accuracy": 0.97222}


def ends(status="FINISHED", **fields):
    """Return a `run` whose job ends as told."""

    def run(document, *, local, cluster, show):
        show(Phase("training"))
        return Outcome("digits-1", "0af3", status, METRICS, seconds=72.4, **fields)

    return run


def test_a_finished_job_ends_with_its_figures_test_first(helio) -> None:
    said = helio("run", "a.yaml", run=ends(model="models:/digits/3"))

    assert said.status == 0
    assert said.stdout.splitlines() == [
        "digits-1: finished in 1:12",
        "  test/accuracy  0.9722",
        "  val/accuracy   0.9500",
        "  train/loss     0.1235",
        "  model          models:/digits/3",
        "  run            0af3",
        "See it with: helio ui",
    ]
    assert said.stderr == "[0:00] reading a.yaml\n[0:00] training\n"


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_failed_job_says_why_once_on_stderr_with_status_1(helio, as_json: list[str]) -> None:
    failure = Failure("user_code", "Traceback (most recent call last):\n  …\nValueError: no\n")
    said = helio("run", "a.yaml", *as_json, run=ends("FAILED", error=failure))

    assert said.status == 1
    assert said.stderr.endswith(
        "user code: Traceback (most recent call last):\n  …\nValueError: no\n"
    )
    assert said.stderr.count("ValueError: no") == 1
    if as_json:
        assert json.loads(said.stdout)["error"]["verdict"] == "user_code"
    else:
        assert said.stdout.endswith("Go on with: helio resume digits-1\n")


def test_wrong_input_is_a_line_a_problem_with_status_2_and_nothing_on_stdout(helio) -> None:
    def load(path, overrides):
        raise InputError(
            [
                Problem("unknown key", ("modle",), "did you mean model?", str(path), 4),
                Problem("must be positive", ("epochs",), "1 or more", str(path), 9),
            ]
        )

    said = helio("run", "a.yaml", "--json", load=load)

    assert said.status == 2
    assert said.stdout == ""
    assert said.stderr.splitlines() == [
        "[0:00] reading a.yaml",
        "a.yaml:4: modle: unknown key; did you mean model?",
        "a.yaml:9: epochs: must be positive; 1 or more",
    ]


def test_an_interrupted_job_has_status_130_and_its_document(helio) -> None:
    said = helio("run", "a.yaml", "--json", run=ends("KILLED"))

    assert said.status == 130
    assert json.loads(said.stdout)["status"] == "KILLED"


def test_an_interrupt_before_there_is_a_job_still_gives_a_document(helio) -> None:
    def run(document, *, local, cluster, show):
        raise KeyboardInterrupt

    said = helio("run", "a.yaml", "--json", run=run)

    assert said.status == 130
    document = json.loads(said.stdout)
    assert (document["job"], document["status"], document["run_id"]) == (None, "KILLED", None)


def test_an_interrupt_of_any_other_command_has_status_130_and_no_traceback(helio) -> None:
    def runs(experiment):
        raise KeyboardInterrupt

    said = helio("runs", runs=runs)

    assert (said.status, said.stdout, said.stderr) == (130, "", "")


def test_json_is_all_there_is_on_stdout_whoever_prints(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import subprocess, sys
from types import SimpleNamespace
from heliostat.cli.main import main
from heliostat.cli.services import Services
from heliostat.runtime.outcome import Outcome

def run(document, *, local, cluster, show):
    print("printed by user code")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    return Outcome("digits-1", None, "FINISHED", {"val/loss": float("nan")})

read = SimpleNamespace(spec=None)
sys.exit(main(["run", "a.yaml", "--json"], Services(load=lambda path, _: read, run=run)))
"""
    )
    ran = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True, timeout=60
    )

    assert json.loads(ran.stdout)["metrics"] == {"val/loss": None}
    assert "printed by user code\n" in ran.stderr
    assert "printed by a child\n" in ran.stderr


def test_what_was_typed_reaches_the_run(helio, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(document, *, local, cluster, show):
        asked.append((document.path.name, document.overrides, local, cluster))
        return Outcome("digits-1", None, "FINISHED")

    helio("run", "a.yaml", "--set", "epochs=1", "--set", "seed=2", "--cluster", "a:1", run=run)
    monkeypatch.setenv("HELIO_CLUSTER", "b:2")
    helio("run", "a.yaml", run=run)
    helio("run", "a.yaml", "--local", run=run)
    monkeypatch.setenv("HELIO_CLUSTER", "")
    helio("run", "a.yaml", run=run)

    assert asked == [
        ("a.yaml", ["epochs=1", "seed=2"], False, "a:1"),
        ("a.yaml", [], False, "b:2"),
        ("a.yaml", [], True, None),
        ("a.yaml", [], False, None),
    ]


def test_a_run_shows_its_specs_own_objective(helio) -> None:
    spec = SimpleNamespace(objective=SimpleNamespace(metric="val/f1"))

    def load(path, overrides):
        return SimpleNamespace(spec=spec)

    def run(document, *, local, cluster, show):
        show(Progress(1, 9, metrics={"val/accuracy": 0.9, "val/f1": 0.5}))
        return Outcome("digits-1", None, "FINISHED")

    assert helio("run", "a.yaml", load=load, run=run).stderr.endswith(": 1/9, val/f1 0.5000\n")


def test_resume_takes_raised_limits_and_ends_like_run(helio) -> None:
    def resume(job, overrides, *, cluster, show):
        show(Note(f"from step 40 with {list(overrides)}"))
        return Outcome(job, "0af3", "FINISHED", METRICS)

    said = helio("resume", "digits-1", "--set", "epochs=9", "--json", resume=resume)

    assert said.status == 0
    assert json.loads(said.stdout)["job"] == "digits-1"
    assert "from step 40 with ['epochs=9']" in said.stderr


def test_the_newest_progress_is_shown_even_if_the_run_raises(helio) -> None:
    def run(document, *, local, cluster, show):
        show(Phase("training"))
        for step in (1, 2, 3):
            show(Progress(step, 9))
        raise InputError.of("the data went away", key=("data", "train"))

    said = helio("run", "a.yaml", run=run)

    assert said.status == 2
    assert said.stderr.splitlines()[-2:] == [
        "[0:00] training: 3/9",
        "data.train: the data went away",
    ]
