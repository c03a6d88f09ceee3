"""A running cluster for all tests that use one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from command import make_helio
from heliostat.runtime.cluster.node import sessions
from own_cluster import Cluster, port_options


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    helio = make_helio(tmp_path_factory.mktemp("cluster") / "home")
    options = port_options()
    try:
        with ThreadPoolExecutor(2) as both:
            ups = both.map(lambda _: helio("up", *options, "--json"), range(2))
        first, second = ups
        for done in (first, second):
            assert done.status == 0, done.err
        yield Cluster(helio, (first, second))
    finally:
        done = helio("down")
        shutil.rmtree(sessions(helio.home).parent)
        assert done.status == 0, done.err
