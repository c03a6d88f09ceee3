from __future__ import annotations

import json
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Request:
    """Stands where the request for Ray Jobs would."""

    job: str
    cluster: str

    def as_json(self) -> dict[str, str]:
        return {"submission_id": self.job, "entrypoint": "helio run spec.yaml"}


def plan(document, *, job, cluster) -> Request:
    return Request(job or f"{document.path.stem}-1", cluster)


def test_submit_sends_the_request_and_says_how_to_follow_it(helio) -> None:
    sent = []

    def submit(request: Request) -> str:
        sent.append(request)
        return request.job

    said = helio("submit", "a.yaml", "--cluster", "http://head:8265", plan=plan, submit=submit)

    assert sent == [Request("a-1", "http://head:8265")]
    assert said.status == 0
    assert said.stdout == "a-1: submitted\nFollow it with: helio logs a-1 -f\n"


def test_a_dry_run_prints_the_request_and_sends_nothing(helio) -> None:
    def submit(request: Request) -> str:
        raise AssertionError("sent")

    argv = ("submit", "a.yaml", "--id", "mine", "--cluster", "h:1", "--dry-run")
    read = helio(*argv, plan=plan, submit=submit)
    parsed = helio(*argv, "--json", plan=plan, submit=submit)

    assert json.loads(read.stdout)["submission_id"] == "mine"
    assert json.loads(parsed.stdout) == json.loads(read.stdout)


@pytest.mark.parametrize(
    "argv", [("submit", "a.yaml"), ("jobs",), ("logs", "a-1"), ("stop", "a-1")]
)
def test_without_a_cluster_the_question_is_refused(helio, argv: tuple[str, ...]) -> None:
    said = helio(*argv)

    assert said.status == 2
    assert "no cluster is given: use --cluster ADDRESS or HELIO_CLUSTER" in said.stderr


def test_the_option_is_nearer_than_our_variable_and_that_nearer_than_rays(
    helio, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def stop(cluster: str, job: str) -> str:
        asked.append(cluster)
        return "STOPPED"

    monkeypatch.setenv("RAY_ADDRESS", "ray:1")
    helio("stop", "a-1", stop=stop)
    monkeypatch.setenv("HELIO_CLUSTER", "ours:2")
    helio("stop", "a-1", stop=stop)
    said = helio("stop", "a-1", "--cluster", "typed:3", stop=stop)

    assert asked == ["ray:1", "ours:2", "typed:3"]
    assert said.stdout == "a-1: STOPPED\n"


def test_a_log_is_printed_piece_by_piece_as_it_comes(helio) -> None:
    def logs(cluster: str, job: str, *, follow: bool):
        yield "one\ntw"
        yield "o\n" if follow else ""

    assert helio("logs", "a-1", "-f", "--cluster", "h:1", logs=logs).stdout == "one\ntwo\n"
    assert helio("logs", "a-1", "--cluster", "h:1", logs=logs).stdout == "one\ntw"
