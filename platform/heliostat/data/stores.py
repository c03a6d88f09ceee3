"""Where a data set's or a job's files lie: a local folder, or a prefix of an S3 bucket.

Credentials, region and endpoint are found as boto3 finds them (AWS_ENDPOINT_URL, profiles, roles).
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from heliostat.data.paths import one_line
from heliostat.spec.problems import InputError

SCRATCH = ".importing"
"""The subfolder for files on their way; that it is there says that a data set is not finished."""

PART = ".part"
"""What the name of a file that is being written ends with."""


class Entry(NamedTuple):
    """A file of a store as its listing tells it."""

    size: int
    """Bytes."""
    version: str
    """Another one once the file was written again."""


class Store(Protocol):
    """Files by name: `/`-separated, relative. InputError, key ("uri",), where it can't be used."""

    @property
    def uri(self) -> str:
        """What a person calls it."""

    def read(self, name: str) -> bytes:
        """Return a file's content; FileNotFoundError where there is none."""

    def download(self, name: str, to: Path) -> None:
        """Write a file's content to a local path; FileNotFoundError where there is none."""

    def upload(self, file: Path, name: str) -> None:
        """Move a local file in, whole or not at all."""

    def put(self, file: Path, name: str) -> None:
        """Copy a local file in, whole or not at all."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""

    def names(self) -> list[str]:
        """Return the names of all files, sorted; none where the folder is not there."""

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """Return the files whose names begin with `prefix` (a folder's: `logs/`), by name.

        What is being written, or was when its writer died, is not among them.
        """

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, and folders that this leaves empty; those that are gone are no error."""

    def scratch(self) -> AbstractContextManager[Path]:
        """Give a local folder for files that are to be uploaded, removed with what is left."""


def open_store(uri: str) -> Store:
    """Return the store at a path, a `file://` or an `s3://bucket/prefix` URI; nothing is asked."""
    if uri.startswith("s3://"):
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise InputError.of(f"{uri} names no bucket", key=("uri",), valid="s3://bucket/prefix")
        return S3Folder(uri, bucket, prefix.strip("/"))
    scheme, found, _ = uri.partition("://")
    if found and scheme != "file":
        raise InputError.of(
            f"{uri!r} is nowhere that data sets are kept", key=("uri",), valid="a path, or s3://…"
        )
    return LocalFolder(Path(uri.removeprefix("file://")))


def probe(uri: str) -> None:
    """Raise InputError, in less than 10 s, where an `s3://` URI can't be listed; ask no other.

    A store that is asked for work is waited for longer, since it may come back.
    """
    store = open_store(uri)
    if isinstance(store, S3Folder):
        store.probe()


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine, or of a file system that it mounts."""

    root: Path

    @property
    def uri(self) -> str:
        """The folder's path."""
        return str(self.root)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with self._usable():
            return (self.root / name).read_bytes()

    def download(self, name: str, to: Path) -> None:
        """Copy a file."""
        with self._usable():
            shutil.copyfile(self.root / name, to)

    def upload(self, file: Path, name: str) -> None:
        """Move a file: renamed where it lies on the same file system, as in `scratch()`."""
        with self._usable():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, self.root / name)

    def put(self, file: Path, name: str) -> None:
        """Copy beside it, then rename."""
        with self._usable(), self._part_of(name) as part:
            shutil.copyfile(file, part)

    def write(self, name: str, content: bytes) -> None:
        """Write beside it, then rename."""
        with self._usable(), self._part_of(name) as part:
            part.write_bytes(content)

    def names(self) -> list[str]:
        """Return the names of all files at any depth."""
        if not self.root.exists():
            return []
        with self._usable():
            return sorted(
                Path(folder, name).relative_to(self.root).as_posix()
                for folder, _, names in os.walk(self.root, onerror=_raise_but_of_the_gone)
                for name in names
            )

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """Return the files at any depth whose names begin so."""
        folder = prefix[: prefix.rfind("/") + 1]
        names = (folder + name for name in LocalFolder(self.root / folder).names())
        found = {}
        for name in names:
            if name.startswith(prefix) and not name.endswith(PART):
                with self._usable(), suppress(FileNotFoundError):
                    facts = (self.root / name).stat()
                    version = f"{facts.st_ino}-{facts.st_mtime_ns}-{facts.st_size}"
                    found[name] = Entry(facts.st_size, version)
        return found

    def delete(self, names: Iterable[str]) -> None:
        """Delete files; the root goes too when it is left empty."""
        with self._usable():
            folders: set[Path] = set()
            for name in names:
                path = self.root / name
                path.unlink(missing_ok=True)
                folders.update(p for p in path.parents if p.is_relative_to(self.root))
            for folder in sorted(folders, reverse=True):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a subfolder, so that files move by a rename."""
        folder = self.root / SCRATCH / "files"
        with self._usable():
            folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _part_of(self, name: str) -> Iterator[Path]:
        """Give a file to write, which takes the name once it is whole."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + PART)
        try:
            yield part
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unusable(self.uri, error) from error


@dataclass(frozen=True)
class S3Folder:
    """A prefix of a bucket. May be shared by threads."""

    uri: str
    bucket: str
    prefix: str

    def read(self, name: str) -> bytes:
        """Return an object's content."""
        with self._usable(name):
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(name))
            content: bytes = answer["Body"].read()
            return content

    def download(self, name: str, to: Path) -> None:
        """Write an object to a file, large ones in parts at once."""
        with self._usable(name):
            self._client.download_file(self.bucket, self._key(name), str(to))

    def upload(self, file: Path, name: str) -> None:
        """Upload a file as `put` does, and remove it."""
        self.put(file, name)
        file.unlink()

    def put(self, file: Path, name: str) -> None:
        """Upload a file, large ones in parts at once."""
        with self._usable(name):
            self._client.upload_file(str(file), self.bucket, self._key(name))

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        with self._usable(name):
            self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=content)

    def names(self) -> list[str]:
        """Return the names of all objects below the prefix."""
        return sorted(self.entries())

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """Return the objects whose keys go on so below the prefix."""
        start = self._key("")
        with self._usable():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start + prefix
            )
            return {
                entry["Key"].removeprefix(start): Entry(entry["Size"], entry["ETag"])
                for page in pages
                for entry in page.get("Contents", ())
                # Consoles make an object "prefix/" for what they show as a folder.
                if not entry["Key"].endswith("/")
            }

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, one by one: not every server knows the call for many."""
        for name in names:
            with self._usable(name):
                self._client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def probe(self) -> None:
        """Raise InputError where it can't be listed now, with none of the usual patience."""
        with self._usable():
            client = _client(connect_timeout=3, read_timeout=4, retries={"total_max_attempts": 1})
            client.list_objects_v2(Bucket=self.bucket, Prefix=self._key(""), MaxKeys=1)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder among the system's temporary files."""
        with tempfile.TemporaryDirectory(prefix="heliostat-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @cached_property
    def _client(self) -> Any:
        # A store that is away is said within seconds; boto3's own patience is 5 minutes.
        return _client(connect_timeout=5, read_timeout=60, retries=_RETRIES)

    @contextmanager
    def _usable(self, name: str = "") -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (Boto3Error, BotoCoreError, ClientError, ValueError) as error:
            # A failed upload is told by an exception of boto3's around the one that says why.
            told = error.__context__ if isinstance(error, Boto3Error) else None
            raise self._refusal(told if isinstance(told, Exception) else error, name) from error

    def _refusal(self, error: Exception, name: str) -> Exception:
        from botocore.exceptions import ClientError

        answer = error.response if isinstance(error, ClientError) else {}
        code = str(answer.get("Error", {}).get("Code", ""))
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == "NoSuchBucket":
            return _problem(f"{self.uri}: there is no bucket {self.bucket!r}")
        if code == "NoSuchKey" or (name and status == 404):
            return FileNotFoundError(errno.ENOENT, "no such object", f"{self.uri}/{name}")
        reason = one_line(error)
        if status in (401, 403) or type(error).__name__ in _CREDENTIALS:
            return _problem(f"{self.uri}: credentials are missing or refused: {reason}", _LOGIN)
        if type(error).__name__ in _AWAY:
            return _problem(f"{self.uri}: the S3 endpoint does not answer: {reason}", _ENDPOINT)
        return _problem(f"{self.uri} cannot be used: {reason}")


def unusable(uri: str, error: OSError) -> InputError:
    """Return the InputError of a local place that cannot be read or written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _problem(f"{uri}: the disk is full", "free some space, or choose another")
    reason = os.strerror(error.errno) if error.errno else one_line(error)
    return _problem(f"{uri} cannot be used: {reason}")


def _client(**patience: Any) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client("s3", config=Config(**patience))


_RETRIES = {"max_attempts": 2, "mode": "standard"}
_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
)
_AWAY = (
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
    "ConnectionError",
    "ProxyConnectionError",
    "SSLError",
)
_LOGIN = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or whatever else boto3 reads"
_ENDPOINT = "check AWS_ENDPOINT_URL and the network"


def _problem(message: str, valid: str = "") -> InputError:
    return InputError.of(message, key=("uri",), valid=valid)


def _raise_but_of_the_gone(error: OSError) -> None:
    # A folder that was removed meanwhile holds no files.
    if not isinstance(error, FileNotFoundError):
        raise error
