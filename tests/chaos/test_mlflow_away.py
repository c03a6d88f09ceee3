"""MLflow that is away, or answers badly, while a job trains."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos_table import Survived
from disturbed import Disturbed, Reference
from mlflow_server import MlflowServer
from unruly_proxy import Mood, Proxy, unruly_proxy
from warm import Warm

SLOWLY = ("--local", "--set", "model.args.pause=0.05")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    server = MlflowServer(folder, f"sqlite:///{folder}/mlflow.db")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(server: MlflowServer) -> Iterator[Proxy]:
    with unruly_proxy(server.uri) as proxy:
        yield proxy


def begin(warm: Warm, server: MlflowServer, uri: str) -> Disturbed:
    """Start a job whose MLflow is at `uri`; return it once MLflow has something of it."""
    env = {"MLFLOW_TRACKING_URI": uri}
    database = server.folder / "mlflow.db"
    job = Disturbed.begin(warm, warm.helio.home, *SLOWLY, env=env, database=database)
    job.wait(lambda: job.recorded.get("run_id"), "the run in MLflow")
    return job


def end(job: Disturbed) -> None:
    """Wait for the job's end, and send what is left."""
    assert job.command.wait(400) == 0, job.command.err
    if not job.recorded.get("complete"):
        assert job.go_on().wait() == 0, job.command.err


@pytest.mark.slow
def test_an_mlflow_that_is_killed_for_a_while_gets_everything_later(
    warm: Warm, server: MlflowServer, undisturbed: Reference, survived: Survived
) -> None:
    job = begin(warm, server, server.uri)
    server.stop()
    job.fire()
    training_ends(job)
    server.start()
    end(job)
    survived("MLflow killed until training ended", job.assert_nothing_lost(undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize(("mood", "said"), [("error", "500"), ("late", "after a minute")])
def test_an_mlflow_that_answers_badly_gets_everything_once(
    mood: Mood,
    said: str,
    warm: Warm,
    server: MlflowServer,
    proxy: Proxy,
    undisturbed: Reference,
    survived: Survived,
) -> None:
    job = begin(warm, server, proxy.uri)
    proxy.mood = mood
    job.fire()
    training_ends(job)
    job.wait(lambda: proxy.spoilt, "a request that is answered badly")
    proxy.mood = "through"
    end(job)
    assert proxy.spoilt
    survived(f"MLflow answering {said} until training ended", job.assert_nothing_lost(undisturbed))


def training_ends(job: Disturbed) -> None:
    job.wait(lambda: (job.ended or {}).get("status") == "FINISHED", "the end of training")
