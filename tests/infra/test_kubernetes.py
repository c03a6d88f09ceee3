"""The manifests: valid, and as locked as they say. The network policies are in a file of their own.

Nothing here speaks to a cluster. The schemas are those of Kubernetes 1.31 and 1.37, as
`kubernetes-validate` carries them, with unknown fields refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import kubernetes_validate
import pytest

Document = dict[str, Any]
Pods = Callable[[list[Document]], list[tuple[str, Document]]]
VERSIONS = ("1.31", "1.37")
RAY = ("RayCluster", "RayJob")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_keeps_to_kubernetes_schemas(
    written: list[Document], version: str, pods: Pods
) -> None:
    for document in written:
        if document["kind"] not in RAY:
            kubernetes_validate.validate(document, version, strict=True)
    for name, template in pods([document for document in written if document["kind"] in RAY]):
        kubernetes_validate.validate(_pod_template(name, template), version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_overlay_keeps_to_kubernetes_schemas(
    overlay: list[Document], version: str, pods: Pods
) -> None:
    for document in overlay:
        if document["kind"] not in RAY:
            kubernetes_validate.validate(document, version, strict=True)
    for name, template in pods(overlay):
        kubernetes_validate.validate(_pod_template(name, template), version, strict=True)


def test_a_misspelt_field_would_be_refused(written: list[Document], pods: Pods) -> None:
    name, template = pods(written)[-1]
    broken = {**template, "spec": {**template["spec"], "enableServiceLink": False}}
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(_pod_template(name, broken), VERSIONS[0], strict=True)


def test_an_overlay_puts_all_it_has_into_its_one_namespace(overlay: list[Document]) -> None:
    [namespace] = [document for document in overlay if document["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [document for document in overlay if document["kind"] != "Namespace"]
    assert {document["metadata"].get("namespace") for document in others} == {"heliostat"}


def test_every_pod_keeps_to_the_restricted_standard(written: list[Document], pods: Pods) -> None:
    for name, template in pods(written):
        security = template["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert template["spec"]["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & template["spec"].keys(), name
        assert all("hostPath" not in volume for volume in template["spec"]["volumes"]), name


def test_every_container_is_confined_and_has_limits(written: list[Document], pods: Pods) -> None:
    for name, container in _containers(written, pods):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys() & resources["limits"].keys(), name


def test_every_image_has_a_tag_that_stays(overlay: list[Document], pods: Pods) -> None:
    images = {
        container["image"]
        for _, template in pods(overlay)
        for container in template["spec"]["containers"]
    }
    assert images
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        assert tag, f"{image} has no tag"
        assert tag != "latest", image


def test_what_a_pod_refers_to_is_there(overlay: list[Document], pods: Pods) -> None:
    there = {
        (document["kind"], document["metadata"]["name"]): document
        for document in overlay
        if document["kind"] in ("ConfigMap", "PersistentVolumeClaim", "ServiceAccount")
    }
    for name, template in pods(overlay):
        for kind, wanted in _references(template["spec"]):
            assert (kind, wanted) in there, f"{name} wants {kind} {wanted}"


def test_ray_nodes_and_servers_see_no_links_to_services(
    written: list[Document], pods: Pods
) -> None:
    # A Service named mlflow would set MLFLOW_PORT=tcp://…, which `mlflow server` reads as its port.
    for name, template in pods(written):
        assert template["spec"]["enableServiceLinks"] is False, name


def test_only_the_head_has_mlflows_password(written: list[Document], pods: Pods) -> None:
    having = {name for name, template in pods(written) if "heliostat-mlflow" in str(template)}
    assert having == {"Deployment/mlflow", "RayCluster/heliostat head", "RayJob/digits head"}


def test_mlflow_asks_for_a_password_and_hands_artifacts_on(written: list[Document]) -> None:
    [deployment] = [document for document in written if document["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert {"--app-name=basic-auth", "--serve-artifacts"} <= set(container["args"])
    variables = {variable["name"]: variable for variable in container["env"]}
    for secret in (
        "MLFLOW_AUTH_ADMIN_PASSWORD",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
        "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY",
    ):
        assert "secretKeyRef" in variables[secret]["valueFrom"]
    assert not re.search(r"//[^@/ ]*:[^@/ ]*@", " ".join(container["args"]))


def test_ingress_has_tls_for_every_name_it_answers_to(overlay: list[Document]) -> None:
    [ingress] = [document for document in overlay if document["kind"] == "Ingress"]
    named = {host for entry in ingress["spec"]["tls"] for host in entry["hosts"]}
    assert {rule["host"] for rule in ingress["spec"]["rules"]} == named
    services = {
        # KubeRay makes a service for the head of a cluster.
        document["metadata"]["name"] + ("-head-svc" if document["kind"] == "RayCluster" else "")
        for document in overlay
        if document["kind"] in ("Service", "RayCluster")
    }
    backends = {
        path["backend"]["service"]["name"]
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert backends <= services


def _pod_template(name: str, template: Document) -> Document:
    labelled = re.sub(r"[^a-z0-9]+", "-", name.lower())
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": labelled},
        "template": template,
    }


def _containers(documents: list[Document], pods: Pods) -> Iterator[tuple[str, Document]]:
    for name, template in pods(documents):
        for container in template["spec"]["containers"]:
            yield f"{name}: {container['name']}", container
    for document in documents:
        if document["kind"] in RAY:
            spec = document["spec"].get("rayClusterSpec", document["spec"])
            yield f"{document['metadata']['name']}: autoscaler", spec["autoscalerOptions"]


def _references(spec: Document) -> Iterator[tuple[str, str]]:
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            yield "ConfigMap", source["configMapRef"]["name"]
