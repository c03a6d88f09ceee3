from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import s3 as s3_support
from heliostat.data.stores import Store, open_store
from heliostat.spec.problems import InputError


@pytest.fixture(params=["local", "s3", "s3 root"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return open_store(str(tmp_path / "set"))
    uri = request.getfixturevalue("s3")
    return open_store(f"{uri}/some/set/" if request.param == "s3" else uri)


def test_what_is_written_is_there_by_its_name(store: Store, tmp_path: Path) -> None:
    assert store.names() == []

    store.write("dataset.json", b"{}")
    with store.scratch() as scratch:
        (scratch / "file").write_bytes(b"rows")
        store.upload(scratch / "file", "train/00000.parquet")
        assert not (scratch / "file").exists()
    assert not scratch.exists()

    assert store.names() == ["dataset.json", "train/00000.parquet"]
    assert store.read("train/00000.parquet") == b"rows"
    store.download("train/00000.parquet", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"rows"


def test_a_file_that_is_put_stays_and_replaces_what_was_there(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"new")
    store.write("a/b", b"old")

    store.put(tmp_path / "file", "a/b")

    assert store.read("a/b") == b"new"
    assert (tmp_path / "file").exists()


def test_a_listing_tells_sizes_and_what_was_written_again(store: Store, tmp_path: Path) -> None:
    for name in ("logs/a", "logs/deep/b", "logs-of-others", "c"):
        store.write(name, name.encode())
    before = store.entries("logs/")
    assert {name: entry.size for name, entry in before.items()} == {"logs/a": 6, "logs/deep/b": 11}
    assert sorted(store.entries("logs")) == ["logs-of-others", "logs/a", "logs/deep/b"]
    assert sorted(store.entries()) == store.names()
    assert store.entries("nothing/") == {}

    store.write("logs/a", b"LOGS/A")
    after = store.entries("logs/")
    assert after["logs/a"].version != before["logs/a"].version
    assert after["logs/deep/b"] == before["logs/deep/b"]


def test_what_is_still_being_written_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.part").write_bytes(b"half")

    assert open_store(str(tmp_path / "set")).entries() == {}


def test_a_large_file_goes_in_parts_and_comes_back_whole(s3: str, tmp_path: Path) -> None:
    content = random.Random(0).randbytes(20 * 2**20)
    (tmp_path / "file").write_bytes(content)
    store = open_store(f"{s3}/set")

    store.put(tmp_path / "file", "large")

    assert store.entries()["large"].version.strip('"').endswith("-3")  # parts of 8 MiB
    store.download("large", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_deleting_leaves_the_others_and_does_not_mind_what_is_gone(store: Store) -> None:
    for name in ("a/1", "a/2", "b/1"):
        store.write(name, b"")

    store.delete(["a/1", "b/1", "c/1"])
    assert store.names() == ["a/2"]
    store.delete(["a/2"])
    assert store.names() == []


def test_deleting_removes_the_folders_that_it_empties(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path / 'set'}")
    store.write("a/b/1", b"")
    store.write("c", b"")

    store.delete(["a/b/1"])

    assert [path.name for path in (tmp_path / "set").iterdir()] == ["c"]


def test_a_missing_file_is_a_file_not_found_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("dataset.json")
    with pytest.raises(FileNotFoundError):
        store.download("train/00000.parquet", tmp_path / "copy")


def test_a_bucket_that_is_not_there_is_said_in_one_line(s3: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    store = open_store("s3://nobody-has-this-bucket/set")

    for use in (
        store.names,
        lambda: store.read("x"),
        lambda: store.write("x", b""),
        lambda: store.upload(tmp_path / "file", "x"),
    ):
        assert "there is no bucket 'nobody-has-this-bucket'" in refusal(use)
    # Where only the headers are asked for, S3 says 404 and not what of.
    with pytest.raises(FileNotFoundError):
        store.download("x", tmp_path / "copy")


def test_missing_credentials_are_said_in_one_line(
    s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_support.use(monkeypatch, s3_endpoint, key=False)

    assert "credentials are missing or refused" in refusal(open_store("s3://bucket/set").names)


def test_refused_credentials_are_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with s3_support.refusing_server() as endpoint:
        s3_support.use(monkeypatch, endpoint)
        store = open_store("s3://bucket/set")
        for use in (
            store.names,
            lambda: store.read("x"),
            lambda: store.download("x", tmp_path / "copy"),
            lambda: store.upload(tmp_path / "file", "x"),
        ):
            assert "credentials are missing or refused" in refusal(use)


def test_an_endpoint_that_is_away_is_said_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    s3_support.use(monkeypatch, s3_support.AWAY)
    started = time.monotonic()

    assert "the S3 endpoint does not answer" in refusal(open_store("s3://bucket/set").names)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("uri", ["s3://", "gs://bucket/set", "https://example.org/set"])
def test_what_is_no_store_is_refused(uri: str) -> None:
    assert uri in refusal(lambda: open_store(uri))


@pytest.mark.parametrize("bucket", ["UPPER_case!", "a"])
def test_a_bucket_name_that_cannot_be_is_said_in_one_line(s3: str, bucket: str) -> None:
    assert f"s3://{bucket}/set" in refusal(open_store(f"s3://{bucket}/set").names)


def test_a_file_where_the_folder_should_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "set").write_bytes(b"")

    refusal(lambda: open_store(str(tmp_path / "set")).write("dataset.json", b""))


def refusal(use) -> str:
    with pytest.raises(InputError) as caught:
        use()
    text = str(caught.value)
    assert text.startswith("uri: ")
    assert "\n" not in text
    return text
