"""S3 that answers errors, hangs up, is slow, or goes away amid an upload: training goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

import s3
from heliostat.data.stores import LocalFolder, Store, open_store
from heliostat.training.checkpoints import CheckpointStore, verify
from heliostat.training.fence import Superseded
from heliostat.training.journal import events, read_all
from heliostat.training.mirror import Mirror
from heliostat.training.reporter import Reporter
from heliostat.training.storage_away import StorageAway
from line import Line
from unruly_proxy import Mood, unruly_proxy
from waiting import wait_until

BUCKET = "misbehaves"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3.s3_server() as endpoint:
        with s3.bucket_client(endpoint) as client:
            client.create_bucket(Bucket=BUCKET)
        yield endpoint


def keys(endpoint: str, prefix: str) -> set[str]:
    with s3.bucket_client(endpoint) as client:
        answer = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/checkpoints/")
    return {entry["Key"].removeprefix(f"{prefix}/") for entry in answer.get("Contents", ())}


def checkpoints(folder: Path, mirror: Mirror, reporter: Reporter, attempt: int) -> CheckpointStore:
    return CheckpointStore(
        folder / "checkpoints",
        attempt=attempt,
        keep_best=0,
        keep_latest=1,
        maximize=True,
        fetch=mirror.fetch_checkpoint,
        unsaved=reporter.unsaved,
        fence=reporter.fence.check_now,
    )


def save(to: CheckpointStore, step: int, size: int = 3) -> None:
    to.save(step, {"w": torch.full((size,), float(step))}, {"step": step})
    to.wait()


@contextmanager
def mirrored(folder: Path, store: Store) -> Iterator[tuple[Mirror, Reporter, CheckpointStore]]:
    reporter = Reporter(folder, attempt=1)
    mirror = Mirror(folder, store, attempt=1, rank=0)
    mirror.start(reporter.event, unsaved=reporter.unsaved, fence=reporter.fence, every=0.05)
    try:
        yield mirror, reporter, checkpoints(folder, mirror, reporter, 1)
    finally:
        reporter.close()


def assert_whole(store: Store, folder: Path, step: int) -> None:
    """Assert that another machine goes on from `step`, and knows all that was recorded."""
    mirror = Mirror(folder, store, attempt=2, rank=0)
    mirror.fetch()
    reporter = Reporter(folder, attempt=2)
    found, skipped = checkpoints(folder, mirror, reporter, 2).newest()
    reporter.close()
    assert found is not None
    assert (found.step, skipped, verify(found)) == (step, [], None)
    told = [r["step"] for r in read_all(folder / "journal") if r["kind"] == "metric"]
    assert told == list(range(step + 1))


@pytest.mark.parametrize("mood", ["error", "gone", "late"])
def test_what_could_not_be_uploaded_is_uploaded_once_the_storage_behaves(
    endpoint: str, mood: Mood, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unruly_proxy(endpoint, late_seconds=0.3) as proxy:
        s3.use(monkeypatch, proxy.uri)
        store = open_store(f"s3://{BUCKET}/{mood}")
        with mirrored(tmp_path / "here", store) as (mirror, reporter, written):
            reporter.metrics({"train/loss": 1.0}, step=0)
            proxy.mood = mood
            for step in range(1, 4):
                reporter.metrics({"train/loss": 1.0}, step=step)
                save(written, step)
            wait_until(lambda: proxy.spoilt > 2, 60, lambda: proxy.spoilt)
            proxy.mood = "through"
            reporter.close()
            mirror.close()

        assert_whole(store, tmp_path / "there", 3)
        place = "checkpoints/step-0000000003-a0001/"
        assert {key for key in keys(endpoint, mood) if not key.startswith(place)} == set()
        told = events(read_all(tmp_path / "here" / "journal"), "storage_away")
        assert len(told) == (0 if mood == "late" else 1)


def test_an_upload_that_is_cut_in_its_middle_leaves_no_checkpoint_and_is_made_again(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = urlsplit(endpoint)
    with Line((where.hostname or "", where.port or 0)) as line:
        s3.use(monkeypatch, line.url)
        store = open_store(f"s3://{BUCKET}/cut")
        with mirrored(tmp_path / "here", store) as (mirror, reporter, written):
            reporter.metrics({"train/loss": 1.0}, step=0)
            reporter.metrics({"train/loss": 1.0}, step=1)
            save(written, 1, size=8_000_000)  # 32 MB: in parts of 8
            wait_until(
                lambda: any("partNumber" in asked.path for asked in line.asked),
                60,
                lambda: line.asked[-9:],
            )
            line.cut()
            assert not [key for key in keys(endpoint, "cut") if "manifest" in key]
            told = partial(read_all, tmp_path / "here" / "journal")
            wait_until(lambda: events(told(), "storage_away"), 60, told)
            line.mend()
            reporter.close()
            mirror.close()
        assert_whole(store, tmp_path / "there", 1)


def test_a_storage_that_stays_away_ends_the_job_at_its_limit_and_keeps_the_last_checkpoint(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unruly_proxy(endpoint) as proxy:
        s3.use(monkeypatch, proxy.uri)
        store = open_store(f"s3://{BUCKET}/limit")
        with mirrored(tmp_path / "here", store) as (mirror, reporter, written):
            save(written, 1)
            wait_until(
                lambda: any("manifest" in key for key in keys(endpoint, "limit")),
                60,
                lambda: keys(endpoint, "limit"),
            )
            reporter.unsaved.limit = 1.0
            proxy.mood = "error"
            save(written, 2)

            why: list[str] = []

            def fails() -> bool:
                try:
                    reporter.metrics({}, step=2)
                except StorageAway as error:
                    why.append(str(error))
                return bool(why)

            wait_until(fails, 60, lambda: proxy.spoilt)
            assert "a checkpoint in the job's storage could not be saved for 1 s: " in why[0]
            assert "500" in why[0]
            manifests = {key for key in keys(endpoint, "limit") if "manifest" in key}
            assert {key.split("/")[1] for key in manifests} == {"step-0000000001-a0001"}
            proxy.mood = "through"
            mirror.close()


def test_an_attempt_uploads_nothing_once_the_next_one_has_begun_elsewhere(tmp_path: Path) -> None:
    store = LocalFolder(tmp_path / "storage")
    with mirrored(tmp_path / "here", store) as (mirror, reporter, written):
        save(written, 1)
        wait_until(lambda: len(store.names()) > 4, 60, store.names)
        store.write("journal/0002-0000-000000.jsonl", b"")

        def ends() -> bool:
            try:
                reporter.metrics({"train/loss": 1.0}, step=2)
            except Superseded:
                return True
            return False

        wait_until(ends, 60, store.names, every=0.01)
        with pytest.raises(Superseded):
            save(written, 3)
        mirror.close()
    assert [name for name in store.names() if "manifest" in name] == [
        "checkpoints/step-0000000001-a0001/manifest.json"
    ]
    assert b"train/loss" not in store.read("journal/0001-0000-000000.jsonl")
