"""The manifests of docs/kubernetes.md, against the schemas of Kubernetes and the operator, and against each other."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "kubernetes.md").read_text()
VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
MANIFESTS = [
    manifest for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) for manifest in yaml.safe_load_all(block)
]
OPERATOR = "kubernetes.dask.org/v1"
RESOURCES = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds"


def of_kind(*kinds):
    """The manifests of these kinds."""
    return [manifest for manifest in MANIFESTS if manifest["kind"] in kinds]


def pods(manifest):
    """The pod specs of a manifest."""
    spec = manifest["spec"]
    found = [spec[part]["spec"] for part in ("scheduler", "worker") if part in spec]
    return found + ([spec["template"]["spec"]] if "template" in spec else [])


def strict(schema):
    """A schema of the operator that refuses fields it does not know, as kubectl does."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
    return {key: strict(value) for key, value in schema.items()} | ({"additionalProperties": False} if closed else {})


def mistakes(manifest):
    """What its schema has against a manifest."""
    if manifest["apiVersion"] != OPERATOR:
        kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="run make test-kubernetes")
        try:
            kubernetes_validate.validate(manifest, "1.37", strict=True)
        except kubernetes_validate.ValidationError as error:
            return [error.message]
        return []
    pytest.importorskip("dask_kubernetes", reason="run make test-kubernetes")
    from jsonschema import Draft7Validator

    file = distribution("dask-kubernetes").locate_file(f"{RESOURCES}/{manifest['kind'].lower()}.yaml")
    (version,) = yaml.safe_load(file.read_text())["spec"]["versions"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"apiVersion": {"const": OPERATOR}, "kind": {"const": manifest["kind"]}, "metadata": {}}
    return [error.message for error in Draft7Validator(schema).iter_errors(manifest)]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: manifest["kind"])
def test_a_manifest_fits_its_schema(manifest):
    assert mistakes(manifest) == []


@pytest.mark.parametrize("kind", ["DaskCluster", "DaskWorkerGroup", "Job"])
def test_a_field_that_its_schema_does_not_know_is_found(kind):
    manifest = of_kind(kind)[0]
    (mistake,) = mistakes(manifest | {"spec": manifest["spec"] | {"replica": 1}})
    assert "'replica' was unexpected" in mistake


def test_every_pod_runs_a_role_of_this_version_s_image_as_its_user():
    specs = [pod for manifest in MANIFESTS for pod in pods(manifest)]
    containers = [container for pod in specs for container in pod["containers"]]
    assert {container["image"] for container in containers} == {f"curation:{VERSION}-cpu", f"curation:{VERSION}-cuda"}
    assert all(container["args"][0] == container["name"] for container in containers)
    assert {pod["securityContext"]["runAsUser"] for pod in specs} == {1001}


def test_every_volume_is_claimed():
    claims = {manifest["metadata"]["name"] for manifest in of_kind("PersistentVolumeClaim")}
    volumes = [volume for manifest in MANIFESTS for pod in pods(manifest) for volume in pod.get("volumes", [])]
    named = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "emptyDir" not in volume}
    assert named == claims


def test_driver_and_further_workers_name_the_cluster():
    (cluster,) = {manifest["metadata"]["name"] for manifest in of_kind("DaskCluster")}
    assert of_kind("DaskWorkerGroup")[0]["spec"]["cluster"] == cluster
    (driver,) = pods(of_kind("Job")[0])[0]["containers"]
    assert driver["env"] == [{"name": "DASK_SCHEDULER_ADDRESS", "value": f"tcp://{cluster}-scheduler:8786"}]
