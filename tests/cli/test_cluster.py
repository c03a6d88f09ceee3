from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from heliostat.runtime.cluster.jobs import JobRow
from heliostat.runtime.cluster.submission import Submitted
from heliostat.runtime.outcome import Failure, Outcome


@dataclass(frozen=True)
class Request:
    """Stands where the request for Ray Jobs would."""

    job: str
    cluster: str
    notes: tuple[str, ...] = ("2 files stay here: .venv 3 KiB",)

    def as_json(self) -> dict[str, str]:
        return {"submission_id": self.job, "entrypoint": "helio run spec.yaml"}


def plan(document, *, job, cluster) -> Request:
    return Request(job or f"{document.path.stem}-1", cluster)


def test_submit_sends_the_request_and_says_how_to_follow_it_and_what_stays(helio) -> None:
    sent = []

    def submit(request: Request) -> Submitted:
        sent.append(request)
        return Submitted(request.job, request.job, new=True)

    said = helio("submit", "a.yaml", "--cluster", "http://head:8265", plan=plan, submit=submit)

    assert sent == [Request("a-1", "http://head:8265")]
    assert said.status == 0
    assert said.stdout == "a-1: submitted\nFollow it with: helio logs a-1 -f\n"
    assert said.stderr == "2 files stay here: .venv 3 KiB\n"


def test_a_job_that_was_submitted_before_is_said_to_be_there(helio) -> None:
    def submit(request: Request) -> Submitted:
        return Submitted(request.job, request.job, new=False, notes=("its folder has changed",))

    said = helio("submit", "a.yaml", "--cluster", "h:1", plan=plan, submit=submit)

    assert said.stdout.splitlines()[0] == "a-1: is on the cluster already"
    assert said.stderr.splitlines()[-1] == "its folder has changed"


def test_a_dry_run_prints_the_request_and_sends_nothing(helio) -> None:
    def submit(request: Request) -> Submitted:
        raise AssertionError("sent")

    argv = ("submit", "a.yaml", "--id", "mine", "--cluster", "h:1", "--dry-run")
    read = helio(*argv, plan=plan, submit=submit)
    parsed = helio(*argv, "--json", plan=plan, submit=submit)

    assert json.loads(read.stdout)["submission_id"] == "mine"
    assert json.loads(parsed.stdout) == json.loads(read.stdout)


@pytest.mark.parametrize("argv", [("submit", "a.yaml"), ("jobs",), ("stop", "a-1")])
def test_without_a_cluster_the_question_is_refused(helio, argv: tuple[str, ...]) -> None:
    said = helio(*argv)

    assert said.status == 2
    assert "no cluster is given: use --cluster ADDRESS or HELIO_CLUSTER" in said.stderr


def test_the_option_is_nearer_than_our_variable_and_that_nearer_than_rays_and_than_what_runs_here(
    helio, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def stop(cluster: str, job: str, *, wait, say) -> str:
        asked.append(cluster)
        return "STOPPED"

    services = {"stop": stop, "cluster_here": lambda: "here:0"}
    helio("stop", "a-1", **services)
    monkeypatch.setenv("RAY_ADDRESS", "ray:1")
    helio("stop", "a-1", **services)
    monkeypatch.setenv("HELIO_CLUSTER", "ours:2")
    helio("stop", "a-1", **services)
    said = helio("stop", "a-1", "--cluster", "typed:3", **services)

    assert asked == ["here:0", "ray:1", "ours:2", "typed:3"]
    assert said.stdout == "a-1: STOPPED\n"


def test_stop_waits_for_the_end_unless_told_not_to(helio) -> None:
    waited = []

    def stop(cluster: str, job: str, *, wait: bool, say) -> str:
        waited.append(wait)
        say("waiting for the last checkpoint of a-1")
        return "STOPPED" if wait else "RUNNING"

    said = helio("stop", "a-1", "--cluster", "h:1", stop=stop)
    at_once = helio("stop", "a-1", "--no-wait", "--cluster", "h:1", stop=stop)

    assert waited == [True, False]
    assert said.stderr == "waiting for the last checkpoint of a-1\n"
    assert at_once.stdout == "a-1: RUNNING\n"


def test_a_log_is_printed_piece_by_piece_as_it_comes_and_what_is_not_of_it_to_stderr(helio) -> None:
    def logs(cluster: str, job: str, *, follow: bool, say):
        say("a-1 has not started yet")
        yield "one\ntw"
        yield "o\n" if follow else ""

    said = helio("logs", "a-1", "-f", "--cluster", "h:1", logs=logs)
    assert said.stdout == "one\ntwo\n"
    assert said.stderr == "a-1 has not started yet\n"
    assert helio("logs", "a-1", "--cluster", "h:1", logs=logs).stdout == "one\ntw"


def test_without_a_cluster_the_log_is_what_mlflow_keeps(helio) -> None:
    assert helio("logs", "a-1", kept_log=lambda job: f"{job} said this\n").stdout == (
        "a-1 said this\n"
    )


def test_jobs_are_a_table_also_those_that_are_not_heliostats(helio) -> None:
    now = datetime(2026, 1, 31, 10, 45, tzinfo=UTC)
    rows = (
        JobRow("a-1", "a", "train", "RUNNING", now, 75.0, "running"),
        JobRow("raysubmit_x", "", "", "PENDING", None, None, ""),
    )
    said = helio("jobs", "--cluster", "h:1", jobs=lambda cluster: rows).stdout.splitlines()

    assert said[0].split() == [
        *("id", "name", "kind", "status", "submitted", "duration", "message"),
    ]
    assert "1:15" in said[1]
    assert said[2].split() == ["raysubmit_x", "PENDING"]


def test_resume_goes_on_on_the_cluster_that_is_given(helio) -> None:
    asked = []

    def resume(job, overrides, *, cluster, show) -> Outcome:
        asked.append((job, list(overrides), cluster))
        return Outcome(job, "0af3", "FINISHED")

    helio("resume", "a-1", "--set", "epochs=9", "--cluster", "h:1", resume=resume)
    helio("resume", "a-1", resume=resume)

    assert asked == [("a-1", ["epochs=9"], "h:1"), ("a-1", [], None)]


def test_who_leaves_a_job_on_a_cluster_is_told_how_to_follow_and_how_to_stop_it(helio) -> None:
    def run(document, *, local, cluster, show) -> Outcome:
        return Outcome("a-1", None, "RUNNING", error=Failure("left", "it runs on there"))

    said = helio("run", "a.yaml", "--cluster", "h:1", run=run)

    assert said.status == 130
    assert "helio logs a-1 -f" in said.stdout
    assert "helio stop a-1" in said.stdout
