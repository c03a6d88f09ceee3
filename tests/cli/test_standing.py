from __future__ import annotations

import io
from pathlib import Path

import pytest

from heliostat.runtime.cluster.down import Down
from heliostat.runtime.cluster.joining import Joined
from heliostat.runtime.cluster.status import Amount, Node, Status
from heliostat.runtime.cluster.up import Up


def test_up_says_how_everything_is_reached_and_how_to_get_in(helio) -> None:
    def up(*, show, **options) -> Up:
        show("starting Ray")
        return Up(
            ray="10.0.0.1:6379",
            dashboard="http://10.0.0.1:8265",
            mlflow="http://team:5000",
            token_file=Path("/home/ray-token"),
            password_file=None,
            join="ssh THAT_MACHINE helio join 10.0.0.1:6379 < /home/ray-token",
            started=("ray",),
            seconds=9.6,
        )

    said = helio("up", "--listen", "10.0.0.1", up=up)

    assert said.status == 0
    assert said.stderr == "starting Ray\n"
    assert said.stdout.splitlines() == [
        "Ray started in 10 s",
        "  Ray dashboard  http://10.0.0.1:8265  (token: in /home/ray-token)",
        "  MLflow         http://team:5000",
        "Another machine joins with: ssh THAT_MACHINE helio join 10.0.0.1:6379 < /home/ray-token",
    ]


def test_up_hands_on_what_was_asked_for_and_nothing_else(helio) -> None:
    asked = {}

    def up(*, show, **options) -> Up:
        asked.update(options)
        return Up("127.0.0.1:7000", "http://d", "http://m", None, None, None, (), 0.1)

    said = helio("up", "--port", "7000", "--storage", "s3://bucket/jobs", up=up)

    assert {name: value for name, value in asked.items() if value is not None} == {
        "port": 7000,
        "storage": "s3://bucket/jobs",
    }
    assert said.stdout.startswith("it was running already\n")
    assert "(token: RAY_AUTH_TOKEN's)" in said.stdout


@pytest.mark.parametrize(
    ("jobs", "more"),
    [(0, ""), (1, "; 1 unfinished job ended with it"), (3, "; 3 unfinished jobs ended with it")],
)
def test_down_says_how_many_jobs_end_with_it(helio, jobs: int, more: str) -> None:
    said = helio("down", down=lambda *, show: Down(("ray",), jobs))

    assert said.stdout == f"stopped Ray{more}\n"


def test_join_takes_the_token_from_standard_input(helio, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def join(head, token, *, show) -> Joined:
        given.append((head, token))
        return Joined(head, "http://10.0.0.1:8265", True, 6.1)

    monkeypatch.setattr("sys.stdin", io.StringIO("0af3\n"))
    said = helio("join", "10.0.0.1:6379", join=join, token_is_here=lambda: False)

    assert given == [("10.0.0.1:6379", "0af3")]
    assert said.stdout.splitlines() == [
        "This machine is a node of 10.0.0.1:6379 (joined in 6 s)",
        "Dashboard: http://10.0.0.1:8265",
    ]


def test_status_shows_free_and_all_and_a_node_that_is_gone(helio) -> None:
    def status(cluster) -> Status:
        head = Node("one", "10.0.0.1", True, True, Amount(2.0, 0.5), Amount(1.0, 0.0))
        gone = Node("two", "10.0.0.2", False, False, Amount(0.0, 0.0), Amount(0.0, 0.0))
        jobs = {"SUCCEEDED": 3, "RUNNING": 1}
        return Status(cluster, None, (head, gone), head.cpus, head.gpus, jobs, {"ray": "2.60.0"})

    said = helio("status", "--cluster", "http://10.0.0.1:8265", status=status)

    assert said.status == 0
    assert said.stdout.splitlines() == [
        "cluster  http://10.0.0.1:8265",
        "free     0.5 of 2 CPUs, 0 of 1 GPUs",
        "jobs     1 RUNNING, 3 SUCCEEDED",
        "versions ray 2.60.0",
        "",
        "node  address   state  cpus      gpus",
        "one   10.0.0.1  head   0.5 of 2  0 of 1",
        "two   10.0.0.2  gone   0 of 0    0 of 0",
    ]
