"""`helio logs`: what a job on a cluster writes, to its end, whatever the line does meanwhile."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from requests.utils import get_environ_proxies, select_proxy

from heliostat.runtime.cluster.asking import Cluster, ClusterAway, Refused, reach
from heliostat.runtime.cluster.ray_jobs import (
    RayJob,
    all_jobs,
    newest,
    path_of,
    submission,
)
from heliostat.spec import InputError

PATIENCE_SECONDS = 300.0
"""How long a cluster that answered once may stay away before a follower gives up."""

HEARTBEAT_SECONDS = 20.0
"""A line that is dead without a word is found out in this time."""

REFUSED_SECONDS = 20.0
"""How long it may answer with an error, as it does while the agent of a node starts anew."""

AGAIN_SECONDS = 1.0

T = TypeVar("T")


def logs(
    address: str, job: str, *, follow: bool, say: Callable[[str], None] = lambda text: None
) -> Iterator[str]:
    """Yield the log of a job in pieces; with `follow`, until the job ends.

    A dropped connection is taken up again where it was: no line is lost or told twice. `say` gets
    what is not the job's: that it waits for its turn, that the cluster is away.

    Raises InputError for a job that is not known, and where the cluster stays away.
    """
    cluster = reach(address)
    ray_job = newest(cluster, job)
    if follow:
        yield from follow_log(cluster, ray_job, say)
    else:
        yield _whole(cluster, ray_job.id)


def follow_log(cluster: Cluster, job: RayJob, say: Callable[[str], None]) -> Iterator[str]:
    """Yield the log of `job` in pieces until it ends."""
    told = 0
    current: RayJob | None = job
    if job.status == "PENDING":
        say(_waiting(cluster, job))
    while current is not None and not current.over:
        for piece in _rest(_tail(cluster, job.id), told):
            told += len(piece)
            yield piece
        current = _patiently(cluster, say, lambda: submission(cluster, job.id))
        if current is not None and not current.over:
            time.sleep(AGAIN_SECONDS)
    # The tail ends before the log does where the machine that is in between ends it.
    whole = _patiently(cluster, say, lambda: _whole(cluster, job.id))
    if len(whole) > told:
        yield whole[told:]


def _waiting(cluster: Cluster, job: RayJob) -> str:
    others = [
        one for one in all_jobs(cluster) if one.status == "PENDING" and one.begun and job.begun
    ]
    before = sum(one.begun < job.begun for one in others if one.begun and job.begun)
    turn = f"; {before} are before it" if before else ""
    return f"{job.id} has not started yet{turn}"


def _rest(pieces: Iterator[str], told: int) -> Iterator[str]:
    """Yield the pieces without their first `told` characters: a tail begins at the beginning."""
    for piece in pieces:
        if told < len(piece):
            yield piece[told:]
        told = max(0, told - len(piece))


def _tail(cluster: Cluster, submission_id: str) -> Iterator[str]:
    """Yield the log from its beginning, as it is written, until the line ends in whatever way."""
    with asyncio.Runner() as runner:
        pieces = _pieces(cluster, submission_id)

        async def following() -> str | None:
            return await anext(pieces, None)

        while (piece := runner.run(following())) is not None:
            yield piece


async def _pieces(cluster: Cluster, submission_id: str) -> AsyncIterator[str]:
    import aiohttp

    address = f"{cluster.address}{path_of(submission_id)}/logs/tail"
    # As requests has them; `trust_env` would have ~/.netrc speak against the token.
    proxy = select_proxy(address, get_environ_proxies(address))
    trusted = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE"))
    try:
        async with (
            aiohttp.ClientSession(headers=cluster.headers) as session,
            session.ws_connect(
                address,
                heartbeat=HEARTBEAT_SECONDS,
                max_msg_size=0,
                proxy=proxy,
                ssl=trusted,
            ) as line,
        ):
            async for message in line:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                yield message.data
    except (TimeoutError, aiohttp.ClientError, OSError):
        return  # whoever reads asks how the job is, and comes back


def _patiently(cluster: Cluster, say: Callable[[str], None], ask: Callable[[], T]) -> T:
    """Return the answer to `ask`, waiting for a cluster that is away for a while."""
    since = time.monotonic()
    said = False
    while True:
        try:
            return ask()
        except (ClusterAway, Refused) as problem:
            patience = REFUSED_SECONDS if isinstance(problem, Refused) else PATIENCE_SECONDS
            if time.monotonic() > since + patience:
                raise
            if not said:
                said = True
                say(f"{problem.problems[0].message}; waiting for it")
            time.sleep(AGAIN_SECONDS)


def _whole(cluster: Cluster, submission_id: str) -> str:
    value = cluster.value("GET", f"{path_of(submission_id)}/logs")
    if not isinstance(value, dict) or not isinstance(value.get("logs"), str):
        raise InputError.of(f"the cluster at {cluster.address} gave no log of {submission_id}")
    return str(value["logs"])
