"""A finished job as a person sees it: MLflow's pages, served by `helio ui`, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page, expect, sync_playwright

from command import Helio

CHROMIUM = shutil.which("chromium")
# No sandbox: in a container Chromium can't make one. The rest keeps it from calling home.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000.0  # milliseconds

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path")


@pytest.fixture(scope="module")
def address(helio: Helio) -> Iterator[str]:
    """What `helio ui` says, while it runs; it takes its server with it."""
    port = free_port()
    process = helio.start("ui", "--port", str(port), "--json")
    document = ""
    while not document.endswith("}\n"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        document += line
    yield str(json.loads(document)["url"])
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    until = time.monotonic() + 10.0
    while answers(port):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a browser that has seen nothing yet."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


@pytest.fixture
def run_page(helio: Helio, digits: dict[str, Any], address: str) -> str:
    """The address of the digits job's run."""
    run = MlflowClient(helio.tracking).get_run(digits["run_id"])
    place = f"/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return urlsplit(address)._replace(fragment=place).geturl()


def test_the_ui_opens_on_the_experiments_of_model_training(
    page: Page, address: str, digits: dict[str, Any]
) -> None:
    page.goto(address)
    page.get_by_role("link", name="digits", exact=True).wait_for()
    page.get_by_text("Model registry").wait_for()  # language models' pages have none


def test_the_run_page_shows_the_metric_and_the_registered_model(
    page: Page, run_page: str, digits: dict[str, Any]
) -> None:
    page.goto(run_page)
    metric = page.get_by_role("row").filter(has_text="test/accuracy").first
    expect(metric).to_contain_text(str(digits["metrics"]["test/accuracy"]), timeout=PATIENCE)
    model = page.get_by_role("link", name=re.compile("^digits")).filter(has_text="v1")
    expect(model.first).to_have_attribute("href", re.compile("models/digits/versions/1$"))


def test_the_runs_artifacts_show_the_confusion_matrix(page: Page, run_page: str) -> None:
    page.goto(f"{run_page}/artifacts")
    for name in ("pictures", "test", "confusion_matrix.png"):
        page.get_by_text(name, exact=True).click()
    picture = page.get_by_alt_text("pictures/test/confusion_matrix.png")
    page.wait_for_function("image => image.naturalWidth > 100", arg=picture.element_handle())


def answers(port: int) -> bool:
    """Return whether anything listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
