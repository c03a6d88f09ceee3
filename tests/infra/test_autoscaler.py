"""The definitions for `ray up`, through Ray's own preparing and schema, and AWS's own model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

Document = dict[str, Any]
Load = Callable[[str], list[Document]]
FILES = ("cluster/local.yaml", "cluster/autoscaler-aws.yaml")


@pytest.mark.parametrize("path", FILES)
def test_it_is_what_ray_up_takes(load: Load, path: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    [config] = load(path)
    prepared = prepare_config(config)  # fills in defaults, as `ray up` does first
    validate_config(prepared)
    assert prepared["available_node_types"]


@pytest.mark.parametrize("path", FILES)
def test_ray_starts_with_the_token_and_a_dashboard_on_loopback(load: Load, path: str) -> None:
    [config] = load(path)
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert all(command.startswith(". ~/heliostat/cluster/node.env; ") for command in commands)
        assert sum("ray start" in command for command in commands) == 1
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]


def test_the_environment_of_a_node_turns_the_token_on(root: Any) -> None:
    lines = (root / "cluster" / "node.env").read_text().splitlines()
    assert "export RAY_AUTH_MODE=token" in lines
    assert 'export RAY_AUTH_TOKEN_PATH="$HELIO_HOME/ray-token"' in lines


@pytest.mark.parametrize("path", FILES)
def test_only_the_head_is_told_of_mlflow(load: Load, path: str) -> None:
    [config] = load(path)
    assert "MLFLOW_TRACKING_PASSWORD=" in config["head_start_ray_commands"][-1]
    assert "MLFLOW" not in str(config["worker_start_ray_commands"])
    assert "mlflow" not in str(config["file_mounts"])
    for name, node in config.get("available_node_types", {}).items():
        if name != config["head_node_type"]:
            # Without commands of its own a worker would take the head's, password and all.
            assert node["initialization_commands"], name
            assert "mlflow" not in str(node), name


def test_workers_are_spot_machines_and_the_head_is_not(load: Load) -> None:
    [config] = load("cluster/autoscaler-aws.yaml")
    types = config["available_node_types"]
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["head"]["resources"]["CPU"] == 0
    spot = types["gpu-spot"]
    assert spot["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert spot["resources"]["GPU"] == 1
    assert spot["min_workers"] == 0
    assert config["provider"]["cache_stopped_nodes"] is False


def test_machines_are_asked_for_in_aws_own_words(load: Load) -> None:
    [config] = load("cluster/autoscaler-aws.yaml")
    model = botocore.session.get_session().get_service_model("ec2")
    shape = model.operation_model("RunInstances").input_shape
    for node in config["available_node_types"].values():
        # Ray takes SubnetIds out and puts one of them in.
        asked = {key: value for key, value in node["node_config"].items() if key != "SubnetIds"}
        report = ParamValidator().validate({**asked, "MinCount": 1, "MaxCount": 1}, shape)
        assert not report.has_errors(), report.generate_report()
        assert node["node_config"].keys() <= {*shape.members, "SubnetIds"}


def test_no_machine_is_open_to_the_world(load: Load) -> None:
    [config] = load("cluster/autoscaler-aws.yaml")
    assert config["provider"]["use_internal_ips"] is True
    for node in config["available_node_types"].values():
        # Without a group of ours Ray makes one that admits SSH from everywhere.
        assert node["node_config"]["SecurityGroupIds"]
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in node["node_config"]["BlockDeviceMappings"])
