"""Who reaches whom in the namespace, worked out from the policies as a cluster's network would."""

from __future__ import annotations

from typing import Any

import pytest

Document = dict[str, Any]
Labels = dict[str, str]

STORAGE = {"heliostat/storage": "s3"}
HEAD = {"ray.io/is-ray-node": "yes", "ray.io/node-type": "head", **STORAGE}
WORKER = {"ray.io/is-ray-node": "yes", "ray.io/node-type": "worker", **STORAGE}
CLEANUP = {**HEAD, "ray.io/node-type": "redis-cleanup"}
MLFLOW = {"app.kubernetes.io/name": "mlflow", **STORAGE}
POSTGRES = {"app.kubernetes.io/name": "postgres"}
REDIS = {"app.kubernetes.io/name": "redis"}
STORE = {"app.kubernetes.io/name": "store"}
OTHER = {"app.kubernetes.io/name": "somebody-else"}
OPERATOR = {"app.kubernetes.io/name": "kuberay-operator"}
HERE = {"kubernetes.io/metadata.name": "heliostat"}
ELSEWHERE = {"kubernetes.io/metadata.name": "elsewhere"}
INGRESS = {"kubernetes.io/metadata.name": "traefik", "heliostat/ingress": "yes"}


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (WORKER, WORKER, 43210),  # gloo, NCCL and TCPStore choose their ports
        (WORKER, HEAD, 6379),
        (HEAD, WORKER, 10002),
        (HEAD, MLFLOW, 5000),
        (HEAD, REDIS, 6379),
        (CLEANUP, REDIS, 6379),
        (MLFLOW, POSTGRES, 5432),
    ],
)
def test_those_who_must_speak_do(
    overlay: list[Document], source: Labels, target: Labels, port: int
) -> None:
    assert _reaches(overlay, source, target, port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (WORKER, MLFLOW, 5000),
        (WORKER, REDIS, 6379),
        (WORKER, POSTGRES, 5432),
        (HEAD, POSTGRES, 5432),
        (MLFLOW, WORKER, 43210),
        (MLFLOW, HEAD, 8265),
        (OTHER, WORKER, 43210),
        (OTHER, HEAD, 8265),
        (OTHER, MLFLOW, 5000),
        (POSTGRES, MLFLOW, 5000),
        (REDIS, HEAD, 6379),
    ],
)
def test_nobody_else_does(
    overlay: list[Document], source: Labels, target: Labels, port: int
) -> None:
    assert not _reaches(overlay, source, target, port)


def test_from_other_namespaces_only_the_ingress_and_the_operator_come_in(
    overlay: list[Document],
) -> None:
    assert _admitted(overlay, OTHER, INGRESS, HEAD, 8265)
    assert _admitted(overlay, OTHER, INGRESS, MLFLOW, 5000)
    assert _admitted(overlay, OPERATOR, ELSEWHERE, HEAD, 8265)
    for target, port in ((HEAD, 6379), (HEAD, 10001), (WORKER, 43210), (POSTGRES, 5432)):
        assert not _admitted(overlay, OTHER, INGRESS, target, port)
        assert not _admitted(overlay, OPERATOR, ELSEWHERE, target, port)
    for target, port in ((HEAD, 8265), (MLFLOW, 5000), (WORKER, 43210), (REDIS, 6379)):
        assert not _admitted(overlay, OTHER, ELSEWHERE, target, port)


def test_a_store_of_our_own_shows_its_s3_port_and_no_other(overlay: list[Document]) -> None:
    if not any(document["metadata"]["name"] == "store" for document in overlay):
        assert any(document["metadata"]["name"] == "https-out" for document in overlay)
        return
    for source in (WORKER, HEAD, MLFLOW):
        assert _reaches(overlay, source, STORE, 8333)
        for inner in (8888, 9333, 18333, 18888):
            assert not _reaches(overlay, source, STORE, inner)
    assert not any(document["metadata"]["name"] == "https-out" for document in overlay)


def test_no_way_out_leads_to_a_clouds_credentials(overlay: list[Document]) -> None:
    blocks = [
        peer["ipBlock"]
        for policy in _policies(overlay)
        for rule in policy.get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    assert all("169.254.0.0/16" in b["except"] for b in blocks if b["cidr"] == "0.0.0.0/0")
    assert all("fd00:ec2::/32" in b["except"] for b in blocks if b["cidr"] == "::/0")


def _reaches(documents: list[Document], source: Labels, target: Labels, port: int) -> bool:
    return _let_out(documents, source, target, port) and _admitted(
        documents, source, HERE, target, port
    )


def _admitted(
    documents: list[Document], source: Labels, namespace: Labels, target: Labels, port: int
) -> bool:
    """Whether the target's policies let a pod with these labels in."""
    policies = [p for p in _policies(documents) if _matches(p["podSelector"], target)]
    return any(
        _any_peer(rule["from"], source, namespace) and _any_port(rule, port)
        for policy in policies
        for rule in policy.get("ingress", [])
    )


def _let_out(documents: list[Document], source: Labels, target: Labels, port: int) -> bool:
    """Whether the source's policies let it out to a pod with these labels, in this namespace."""
    policies = [p for p in _policies(documents) if _matches(p["podSelector"], source)]
    return any(
        _any_peer(rule["to"], target, HERE) and _any_port(rule, port)
        for policy in policies
        for rule in policy.get("egress", [])
    )


def _policies(documents: list[Document]) -> list[Document]:
    policies = [d["spec"] for d in documents if d["kind"] == "NetworkPolicy"]
    # What no policy selects is open, so one has to select everything, both ways.
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    return policies


def _any_peer(peers: list[Document], labels: Labels, namespace: Labels) -> bool:
    return any(_is_peer(peer, labels, namespace) for peer in peers)


def _is_peer(peer: Document, labels: Labels, namespace: Labels) -> bool:
    if "ipBlock" in peer:  # for addresses outside; pods are named by their labels
        return False
    if "namespaceSelector" not in peer and namespace != HERE:
        return False
    return _matches(peer.get("namespaceSelector", {}), namespace) and _matches(
        peer.get("podSelector", {}), labels
    )


def _matches(selector: Document, labels: Labels) -> bool:
    wanted = selector.get("matchLabels", {})
    among = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in among)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(expression["key"]) in expression["values"] for expression in among
    )


def _any_port(rule: Document, port: int) -> bool:
    return "ports" not in rule or any(entry["port"] == port for entry in rule["ports"])
