"""Pictures as MLflow's UI shows them best, each stored once."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow import MlflowClient

from heliostat.tracking.names import sanitised


class Pictures:
    """Sends pictures twice over: a slider by step, and the newest one as a plain file.

    `log_image` by key and step is what the UI draws among the metrics, with a slider; its file
    names are not for people, so the newest picture is also `pictures/<name>.png` under Artifacts.
    """

    def __init__(self, run_id: str, folder: Path) -> None:
        """Keep the run and the job's folder, which the records' paths are relative to."""
        self._run_id = run_id
        self._folder = folder
        self._held: set[str] | None = None

    def send(
        self, client: MlflowClient, records: Iterable[Mapping[str, Any]]
    ) -> tuple[int, list[dict[str, Any]]]:
        """Send what MLflow doesn't hold; return how many, and an event for each missing file."""
        sent = 0
        missing = []
        for record in records:
            if self._held is None:
                self._held = _held(client, self._run_id)
            mark = _mark(record)
            if mark in self._held:
                continue
            file = self._folder / record["path"]
            if not file.is_file():
                missing.append(_missing(record))
                continue
            self._send(client, record, file)
            self._held.add(mark)
            sent += 1
        return sent, missing

    def _send(self, client: MlflowClient, record: Mapping[str, Any], file: Path) -> None:
        from PIL import Image  # deferred: many jobs have no picture

        place = PurePosixPath("pictures", sanitised(record["name"]).replace(":", "_"))
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copyfile(file, Path(folder, place.name + file.suffix))
            client.log_artifact(self._run_id, str(copy), str(place.parent))
        # The slider comes last: what `_held` finds there is complete.
        with Image.open(file) as image:
            client.log_image(
                self._run_id,
                image.convert("RGB"),
                key=_key(record["name"]),
                step=int(record["step"]),
                timestamp=int(record["time"]),
                synchronous=True,
            )


def _key(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_\-./ ]", "_", name)


def _mark(record: Mapping[str, Any]) -> str:
    # MLflow's file name, less its random part: a picture is told by its key, step and time.
    key = _key(record["name"]).replace("/", "~")
    return f"{key}+step+{int(record['step'])}+timestamp+{int(record['time'])}"


def _held(client: MlflowClient, run_id: str) -> set[str]:
    names = [PurePosixPath(item.path).name for item in client.list_artifacts(run_id, "images")]
    return {n.rsplit("+", 2)[0] for n in names if n.endswith("+compressed.webp")}


def _missing(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, "kind": "event", "name": "picture_missing", "picture": record["name"]}
