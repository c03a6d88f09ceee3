"""KubeRay's own fields, which Kubernetes' schemas know nothing of.

`FIELDS` says what ray.io/v1 has, as far as these manifests use it (KubeRay 1.6 and 1.7); pod
templates are checked in test_kubernetes.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from heliostat.spec import TrainSpec
from heliostat.spec import load as load_spec

Document = dict[str, Any]
Load = Callable[[str], list[Document]]


def _closed(required: str = "", **properties: Any) -> Document:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
FLAG = {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
ANY = {"type": "object"}
CREDENTIAL = _closed(valueFrom=ANY, value=TEXT)

CLUSTER = _closed(
    "headGroupSpec rayVersion",
    rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
    authOptions=_closed(
        "mode", mode={"enum": ["token", "disabled"]}, secretName=TEXT, enableK8sTokenAuth=FLAG
    ),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=_closed(
        version={"enum": ["v1", "v2"]},
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        idleTimeoutSeconds=COUNT,
        image=TEXT,
        imagePullPolicy=TEXT,
        resources=ANY,
        securityContext=ANY,
        env={"type": "array"},
        envFrom={"type": "array"},
        volumeMounts={"type": "array"},
    ),
    gcsFaultToleranceOptions=_closed(
        "redisAddress",
        redisAddress=TEXT,
        redisUsername=CREDENTIAL,
        redisPassword=CREDENTIAL,
        externalStorageNamespace=TEXT,
    ),
    headGroupSpec=_closed(
        "rayStartParams template",
        rayStartParams=TEXTS,
        template=ANY,
        serviceType=TEXT,
        headService=ANY,
        enableIngress=FLAG,
        resources=TEXTS,
        labels=TEXTS,
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _closed(
            "groupName rayStartParams template minReplicas maxReplicas",
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            numOfHosts=COUNT,
            idleTimeoutSeconds=COUNT,
            rayStartParams=TEXTS,
            resources=TEXTS,
            labels=TEXTS,
            scaleStrategy=ANY,
            template=ANY,
        ),
    },
)

JOB = _closed(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    jobId=TEXT,
    metadata=TEXTS,
    runtimeEnvYAML=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    backoffLimit=COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    preRunningDeadlineSeconds={"type": "integer", "minimum": 1},
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    suspend=FLAG,
    rayClusterSpec=CLUSTER,
)


@pytest.fixture(scope="session")
def clusters(load: Load) -> dict[str, Document]:
    """The RayCluster's spec and the one inside the RayJob."""
    return {
        "RayCluster": _of_kind(load("cluster/kuberay/raycluster.yaml"), "RayCluster")["spec"],
        "RayJob": _job(load)["rayClusterSpec"],
    }


def test_the_cluster_and_the_job_have_kuberays_fields_and_no_other(
    load: Load, clusters: dict[str, Document]
) -> None:
    jsonschema.validate(clusters["RayCluster"], CLUSTER)
    jsonschema.validate(_job(load), JOB)


def test_a_misspelt_field_of_kuberays_would_be_refused(clusters: dict[str, Document]) -> None:
    broken = {**clusters["RayCluster"], "authOption": {"mode": "token"}}
    with pytest.raises(jsonschema.ValidationError, match="authOption"):
        jsonschema.validate(broken, CLUSTER)


def test_what_kuberay_hands_to_the_autoscalers_container_is_a_containers(
    clusters: dict[str, Document],
) -> None:
    for spec in clusters.values():
        options = spec["autoscalerOptions"]
        container = {
            "name": "autoscaler",
            **{key: options[key] for key in ("resources", "securityContext", "volumeMounts")},
        }
        template = {"spec": {"containers": [container]}}
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "template": template}
        kubernetes_validate.validate(pod, "1.37", strict=True)


def test_tokens_are_asked_for_and_come_from_a_secret(clusters: dict[str, Document]) -> None:
    for spec in clusters.values():
        assert spec["authOptions"] == {"mode": "token", "secretName": "heliostat-ray-token"}


def test_only_the_autoscaler_can_speak_to_kubernetes(clusters: dict[str, Document]) -> None:
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    for spec in clusters.values():
        pod = spec["headGroupSpec"]["template"]["spec"]
        [volume] = [volume for volume in pod["volumes"] if "projected" in volume]
        mounted = {mount["name"]: mount for mount in spec["autoscalerOptions"]["volumeMounts"]}
        assert mounted[volume["name"]] == {
            "name": volume["name"],
            "mountPath": account,
            "readOnly": True,
        }
        for container in pod["containers"]:
            assert volume["name"] not in {mount["name"] for mount in container["volumeMounts"]}


def test_gpu_workers_come_and_go_and_the_head_takes_no_work(clusters: dict[str, Document]) -> None:
    for spec in clusters.values():
        assert spec["enableInTreeAutoscaling"] is True
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        [gpus] = [group for group in spec["workerGroupSpecs"] if "gpu" in group["groupName"]]
        assert gpus["minReplicas"] == 0 < gpus["maxReplicas"]
        [container] = gpus["template"]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert any(t["key"] == "nvidia.com/gpu" for t in gpus["template"]["spec"]["tolerations"])


def test_the_standing_cluster_outlives_its_head(clusters: dict[str, Document]) -> None:
    spec = clusters["RayCluster"]
    assert spec["gcsFaultToleranceOptions"]["redisAddress"] == "redis:6379"
    volumes = spec["headGroupSpec"]["template"]["spec"]["volumes"]
    assert any("persistentVolumeClaim" in volume for volume in volumes)
    # KubeRay refuses these beside gcsFaultToleranceOptions.
    [head] = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert not {v["name"] for v in head["env"]} & {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD"}
    assert "redis-password" not in spec["headGroupSpec"]["rayStartParams"]


def test_manifests_ask_for_the_ray_that_the_lock_installs(
    root: Path, clusters: dict[str, Document]
) -> None:
    lock = (root / "requirements.lock").read_text()
    for spec in clusters.values():
        assert f"\nray=={spec['rayVersion']} " in lock


def test_the_jobs_spec_is_sound_and_fits_its_cluster(load: Load, tmp_path: Path) -> None:
    documents = load("cluster/kuberay/rayjob.yaml")
    config = _of_kind(documents, "ConfigMap")
    file = tmp_path / "train.yaml"
    file.write_text(config["data"]["train.yaml"])
    spec = load_spec(file).spec
    assert isinstance(spec, TrainSpec)
    resources = spec.resources
    job = _job(load)
    assert job["entrypoint"] == "helio run /jobs/digits/train.yaml --json"
    [head] = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert {"name": "spec", "mountPath": "/jobs/digits", "readOnly": True} in head["volumeMounts"]
    [group] = job["rayClusterSpec"]["workerGroupSpecs"]
    [worker] = group["template"]["spec"]["containers"]
    assert resources.min_workers <= group["maxReplicas"]
    assert resources.cpus_per_worker <= float(worker["resources"]["limits"]["cpu"])
    assert resources.gpus_per_worker <= 1


def test_a_stopped_job_has_time_for_a_last_checkpoint(load: Load) -> None:
    job = _job(load)
    variables = YAML(typ="safe").load(job["runtimeEnvYAML"])["env_vars"]
    assert variables == {"RAY_JOB_STOP_SIGNAL": "SIGTERM", "RAY_JOB_STOP_WAIT_TIME_S": "90"}
    cluster = job["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["terminationGracePeriodSeconds"] > 90


def _job(load: Load) -> Document:
    spec: Document = _of_kind(load("cluster/kuberay/rayjob.yaml"), "RayJob")["spec"]
    return spec


def _of_kind(documents: list[Document], kind: str) -> Document:
    [found] = [document for document in documents if document["kind"] == kind]
    return found
