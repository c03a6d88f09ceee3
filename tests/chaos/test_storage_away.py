"""The storage of a job on Ray that is away, or answers badly, while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from chaos_table import Survived
from disturbed import Disturbed, Reference
from s3 import KEY, SETTINGS, bucket_client, s3_server
from unruly_proxy import Mood, Proxy, unruly_proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with s3_server() as endpoint, unruly_proxy(endpoint) as proxy:
        with bucket_client(endpoint) as client:
            client.create_bucket(Bucket="chaos")
        yield proxy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mood", "said"),
    [("gone", "gone"), ("error", "answering 500"), ("late", "answering after a minute")],
)
def test_a_storage_that_is_away_for_a_while_costs_nothing(
    mood: Mood,
    said: str,
    proxy: Proxy,
    begin_on_ray: Callable[..., Disturbed],
    undisturbed_on_ray: Reference,
    survived: Survived,
) -> None:
    env = {**SETTINGS, **KEY, "AWS_ENDPOINT_URL": proxy.uri, "HELIO_STORAGE": "s3://chaos/jobs"}
    job = begin_on_ray("--set", "model.args.pause=0.1", **env)
    job.wait_for_step(50)
    job.fire()
    proxy.mood = mood
    job.wait(lambda: proxy.spoilt >= 2, "two requests that are answered badly")
    proxy.mood = "through"
    assert job.command.wait(400) == 0, job.command.err
    survived(f"Ray: S3 {said} for a while", job.assert_nothing_lost(undisturbed_on_ray))
