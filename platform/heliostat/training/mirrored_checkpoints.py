"""Checkpoints in a job's storage, as in a folder: one exists when its manifest does.

Uploaded files first and the manifest last, deleted the manifest first. They are kept in the
storage as the CheckpointStore keeps them in the folder.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from heliostat.data.stores import Store
from heliostat.training.verifying import MANIFEST, expected_files


class MirroredCheckpoints:
    """The checkpoints of a folder of rank 0's machine, and of the storage."""

    def __init__(self, folder: Path, store: Store) -> None:
        """Mirror `folder`, whose name in the store is its own."""
        self._folder = folder
        self._store = store
        self._stored: dict[str, bytes] = {}
        """The manifests of those that the storage has, by the checkpoint's name."""
        self._begun: set[str] = set()
        """Those of which some files may be there."""

    def manifests(self) -> dict[str, bytes]:
        """Return the manifests in the folder now, by the checkpoint's name."""
        found = {}
        for manifest in sorted(self._folder.glob(f"step-*/{MANIFEST}")):
            try:
                found[manifest.parent.name] = manifest.read_bytes()
            except FileNotFoundError:
                continue  # removed meanwhile
        return found

    def upload(self, manifests: dict[str, bytes]) -> None:
        """Make the storage's checkpoints those of `manifests`."""
        for name, manifest in manifests.items():
            if self._stored.get(name) != manifest:
                self._upload(name, manifest)
        for name in [name for name in self._stored if name not in manifests]:
            self._delete(name)
        for name in self._begun - manifests.keys():  # cut off, and no longer kept
            self._store.delete(self._store.entries(self._name(name, "")))
            self._begun.discard(name)

    def lacks(self, manifests: dict[str, bytes]) -> bool:
        """Whether the storage has not got one of `manifests`."""
        return any(self._stored.get(name) != manifest for name, manifest in manifests.items())

    def fetch_manifests(self) -> None:
        """Bring the manifests of what is in the storage."""
        for file in self._files():
            if file.name == MANIFEST:
                manifest = self._store.read(self._name(file.parent.name, MANIFEST))
                (self._folder / file).parent.mkdir(parents=True, exist_ok=True)
                (self._folder / file).write_bytes(manifest)
                self._stored[file.parent.name] = manifest

    def delete_torn(self) -> None:
        """Delete uploads that were cut off, where nobody uploads: they would never be asked for."""
        torn = [file for file in self._files() if file.parent.name not in self._stored]
        self._store.delete(self._name(file.parent.name, file.name) for file in torn)

    def fetch_files(self, checkpoint: Path) -> None:
        """Bring the files of a checkpoint that are not here; those that are gone stay missing."""
        manifest = self._stored.get(checkpoint.name)
        for name, size in _sizes(manifest).items() if manifest else ():
            file = checkpoint / name
            if file.exists() and file.stat().st_size == size:
                continue
            try:
                self._store.download(self._name(checkpoint.name, name), file)
            except FileNotFoundError:
                continue  # `verify` will say so

    def _upload(self, name: str, manifest: bytes) -> None:
        if name in self._stored:
            self._delete(name)
        self._begun.add(name)
        try:
            for file in _sizes(manifest):
                self._store.put(self._folder / name / file, self._name(name, file))
        except FileNotFoundError:
            if (self._folder / name / MANIFEST).exists():
                raise
            # Removed meanwhile, as one that is not kept.
            self._store.delete(self._name(name, file) for file in _sizes(manifest))
            return
        self._store.write(self._name(name, MANIFEST), manifest)
        self._stored[name] = manifest
        self._begun.discard(name)

    def _delete(self, name: str) -> None:
        files = [MANIFEST, *_sizes(self._stored[name])]
        self._store.delete(self._name(name, file) for file in files)
        del self._stored[name]

    def _files(self) -> list[PurePosixPath]:
        """Return the storage's files, each as checkpoint/file."""
        prefix = f"{self._folder.name}/"
        found = [PurePosixPath(name.removeprefix(prefix)) for name in self._store.entries(prefix)]
        return [file for file in found if len(file.parts) == 2 and ".." not in file.parts]

    def _name(self, checkpoint: str, file: str) -> str:
        return f"{self._folder.name}/{checkpoint}/{file}"


def _sizes(manifest: bytes) -> dict[str, int]:
    """Return the files that a manifest names, with their sizes; none of one that is not ours."""
    try:
        return {name: size for name, (size, _) in expected_files(json.loads(manifest))}
    except ValueError:
        return {}
