"""Reading what `cluster/` and `infra/` hold, as data."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

Document = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "infra" / "kubernetes" / "overlays"


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def load() -> Callable[[str], list[Document]]:
    """All documents of a YAML file, named from the repository's root."""

    def read(path: str) -> list[Document]:
        return _documents((ROOT / path).read_text())

    return read


@pytest.fixture(scope="session")
def written(load: Callable[[str], list[Document]]) -> list[Document]:
    """Every whole manifest as it is written: base, store and KubeRay; no patches."""
    folders = ("infra/kubernetes/base", "cluster/kuberay")
    files = [path for folder in folders for path in sorted((ROOT / folder).glob("*.yaml"))]
    files.append(OVERLAYS / "small" / "store.yaml")
    return [
        document
        for path in files
        if path.name != "kustomization.yaml"
        for document in load(str(path.relative_to(ROOT)))
    ]


@pytest.fixture(scope="session", params=["small", "gpu"])
def overlay(request: pytest.FixtureRequest) -> list[Document]:
    """What `kubectl apply -k` would send for an overlay."""
    if shutil.which("kustomize"):
        command = ["kustomize", "build"]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is here to build the overlays")
    built = subprocess.run(
        [*command, str(OVERLAYS / request.param)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return _documents(built.stdout)


@pytest.fixture(scope="session")
def pods() -> Callable[[list[Document]], list[tuple[str, Document]]]:
    """The pod templates in manifests, Ray's among them, each with a name to say."""

    def find(documents: list[Document]) -> list[tuple[str, Document]]:
        return [found for document in documents for found in _templates(document)]

    return find


@pytest.fixture(scope="session")
def compose(load: Callable[[str], list[Document]]) -> Document:
    [document] = load("infra/compose.yaml")
    return document


def _documents(text: str) -> list[Document]:
    # Through JSON: an alias would otherwise be one object in two places.
    loaded = YAML(typ="safe").load_all(text)
    return [json.loads(json.dumps(document)) for document in loaded if document]


def _templates(document: Document) -> Iterator[tuple[str, Document]]:
    name = f"{document['kind']}/{document['metadata']['name']}"
    if document["kind"] in ("Deployment", "StatefulSet"):
        yield name, document["spec"]["template"]
    elif document["kind"] in ("RayCluster", "RayJob"):
        spec = document["spec"].get("rayClusterSpec", document["spec"])
        yield f"{name} head", spec["headGroupSpec"]["template"]
        for group in spec["workerGroupSpecs"]:
            yield f"{name} {group['groupName']}", group["template"]
