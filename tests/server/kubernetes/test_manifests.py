"""The manifests as a user gets them: valid for the API server, locked down, without a secret in them."""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from dspytrack.errors import UsageError
from dspytrack.server.kubernetes.manifests import SHIPPED_VERSION, write_helm_values, write_kubernetes

Document = dict[str, Any]

KUSTOMIZE = {"Kustomization", "Component"}
IMAGE = "ghcr.io/mlflow/mlflow"
# The chart's own top-level keys, read from its values.yaml.
CHART_KEYS = {
    *("image", "imagePullSecrets", "fullnameOverride", "replicaCount", "deploymentStrategy", "server", "service"),
    *("garbageCollection", "ingress", "mlflow", "env", "envFrom", "extraVolumes", "extraVolumeMounts", "tls"),
    *("extraInitContainers", "extraContainers", "networkPolicy", "metrics", "serviceMonitor", "podSecurityContext"),
    *("securityContext", "serviceAccount", "namespace_rbac", "cluster_rbac", "storage", "resources"),
    *("podAnnotations", "podLabels", "nodeSelector", "tolerations", "affinity"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("manifests")
    write_kubernetes(out)
    return out


@pytest.fixture(scope="module")
def documents(tree: Path) -> list[Document]:
    return [document for path in sorted(tree.rglob("*.yaml")) for document in read(path)]


def helm_values(out: Path, mlflow_version: str | None = None) -> Path:
    [file] = write_helm_values(out, mlflow_version)
    return file


def read(path: Path) -> list[Document]:
    return list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    found = [document for document in documents if document["kind"] in kinds]
    assert {document["kind"] for document in found} == set(kinds)
    return found


def pods(documents: list[Document]) -> list[Document]:
    specs = [document["spec"] for document in of_kind(documents, "Deployment", "Job", "CronJob")]
    return [spec.get("jobTemplate", {"spec": spec})["spec"]["template"] for spec in specs]


def containers(documents: list[Document]) -> list[Document]:
    return [container for pod in pods(documents) for container in pod["spec"]["containers"]]


def environment(found: Any) -> Iterator[Document]:
    """Every entry of every `env` list, wherever it is."""
    if isinstance(found, dict):
        yield from found.get("env", [])
    for part in found.values() if isinstance(found, dict) else found if isinstance(found, list) else []:
        yield from environment(part)


def validate(document: Document, kubernetes: str) -> None:
    kubernetes_validate.validate(document, kubernetes, strict=True)


@pytest.mark.parametrize("kubernetes", ["1.30", kubernetes_validate.latest_version()])
def test_every_manifest_is_valid_in_strict_mode(documents: list[Document], kubernetes: str) -> None:
    core = [document for document in documents if document["kind"] not in KUSTOMIZE | {"HTTPRoute"}]
    for document in core:
        validate(document, kubernetes)
    kinds = {document["kind"] for document in core}
    assert kinds >= {"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    assert kinds >= {"NetworkPolicy", "Job", "CronJob", "Ingress", "PersistentVolumeClaim"}


def test_the_validator_refuses_a_misspelled_field(documents: list[Document]) -> None:
    deployment = copy.deepcopy(of_kind(documents, "Deployment")[0])
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["readynessProbe"] = container.pop("readinessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        validate(deployment, kubernetes_validate.latest_version())


def test_every_file_belongs_to_a_kustomization_and_every_resource_named_there_exists(tree: Path) -> None:
    named = {tree / "optimize-job.yaml", *tree.rglob("kustomization.yaml")}
    for kustomization in tree.rglob("kustomization.yaml"):
        [content] = read(kustomization)
        for entry in [*content.get("resources", []), *content.get("components", [])]:
            path = kustomization.parent / entry
            assert path.exists(), f"{kustomization} names {entry}"
            named.add(path)
    assert set(tree.rglob("*.yaml")) <= named


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl builds the tree")
def test_the_built_tree_is_valid_and_a_public_host_is_let_in(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    root = tmp_path / "kustomization.yaml"
    root.write_text(root.read_text(encoding="utf-8").replace("# - components", "- components"), encoding="utf-8")
    ingress = tmp_path / "components/ingress/ingress.yaml"
    text = ingress.read_text(encoding="utf-8").replace("- host: mlflow.example.com", "- host: mlflow.example.org")
    ingress.write_text(text, encoding="utf-8")
    build = subprocess.run(["kubectl", "kustomize", str(tmp_path)], capture_output=True, text=True, check=True)
    built = list(YAML(typ="safe").load_all(build.stdout))
    for document in built:
        if document["kind"] != "HTTPRoute":
            validate(document, kubernetes_validate.latest_version())
    [config] = of_kind(built, "ConfigMap")
    hosts = config["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {"mlflow:5000", "localhost:*", "mlflow.example.org", "mlflow.example.com"} <= set(hosts)
    assert of_kind(built, "Ingress")[0]["spec"]["tls"][0]["hosts"] == ["mlflow.example.org"]
    [deployment] = of_kind(built, "Deployment")
    assert "replicas" not in deployment["spec"], "an apply would undo the autoscaler"
    [server] = deployment["spec"]["template"]["spec"]["containers"]
    assert server["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    assert {container["image"] for container in containers(built)} == {f"{IMAGE}:v{version('mlflow')}-full"}


def test_the_http_route_leads_to_the_service(documents: list[Document]) -> None:
    [route] = of_kind(documents, "HTTPRoute")
    [service] = of_kind(documents, "Service")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert set(route) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(route["spec"]) == {"parentRefs", "hostnames", "rules"}
    [parent] = route["spec"]["parentRefs"]
    assert (parent["group"], parent["kind"]) == ("gateway.networking.k8s.io", "Gateway")
    assert set(parent) == {"group", "kind", "name", "namespace", "sectionName"}
    [rule] = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"] == [{"name": service["metadata"]["name"], "port": service["spec"]["ports"][0]["port"]}]


def test_there_is_no_secret_and_no_literal_password(tree: Path, tmp_path: Path, documents: list[Document]) -> None:
    assert not [document for document in documents if document["kind"] == "Secret"]
    helm = helm_values(tmp_path)
    for path in [helm, *tree.rglob("*.yaml")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"://[^/\s\"]*:[^/\s\"]*@", text), f"a login in {path}"
        assert "secretGenerator" not in text
    entries = list(environment([documents, read(helm)]))
    sensitive = [entry for entry in entries if re.search(r"KEY|SECRET|TOKEN|PASSWORD|STORE_URI", entry["name"])]
    assert len(sensitive) >= 8
    for entry in sensitive:
        assert set(entry) == {"name", "valueFrom"} and "secretKeyRef" in entry["valueFrom"], entry["name"]


def test_every_pod_meets_the_restricted_pod_security_standard(documents: list[Document]) -> None:
    for pod in pods(documents):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] >= 1000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "MLFLOW_PORT of the Service would be read by mlflow"
        assert {"name": "tmp", "mountPath": "/tmp"} in spec["containers"][0]["volumeMounts"]
        assert [volume for volume in spec["volumes"] if volume["name"] == "tmp" and "emptyDir" in volume]
    for container in containers(documents):
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_the_server_is_probed_and_found_by_its_service(documents: list[Document]) -> None:
    [deployment] = of_kind(documents, "Deployment")
    assert deployment["spec"]["replicas"] == 2
    [server] = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert server["ports"] == [{"name": "http", "containerPort": 5000}]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], of_kind(documents, "Service")[0]["spec"]["selector"]]
    selectors += [of_kind(documents, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"]]
    assert all(selector == labels for selector in selectors)


def test_every_pod_of_the_tree_is_under_exactly_one_egress_policy(documents: list[Document]) -> None:
    policies = [one["spec"] for one in of_kind(documents, "NetworkPolicy") if "Egress" in one["spec"]["policyTypes"]]
    mlflow = [pod for pod in pods(documents) if pod["metadata"]["labels"]["app.kubernetes.io/name"] == "mlflow"]
    assert len(mlflow) == 3
    for pod in mlflow:
        labels = pod["metadata"]["labels"]
        [policy] = [one for one in policies if one["podSelector"]["matchLabels"] == labels]
        ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        assert {53, 5432, 443} <= ports <= {53, 5432, 443, 5000}


def test_the_optimize_job_runs_once_and_logs_to_the_service(tree: Path) -> None:
    [job] = of_kind(read(tree / "optimize-job.yaml"), "Job")
    assert job["spec"]["backoffLimit"] == 0
    spec = job["spec"]["template"]["spec"]
    assert spec["restartPolicy"] == "Never"
    [container] = spec["containers"]
    assert [*container["command"], *container["args"]] == ["dspytrack", "optimize", "/config/config.yaml"]
    assert {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow:5000"} in container["env"]


@pytest.mark.parametrize("wanted", [None, "3.18.0", "3.18.0rc1"])
def test_the_version_is_the_installed_mlflow_or_the_one_asked_for(wanted: str | None, tmp_path: Path) -> None:
    release = wanted or version("mlflow")
    write_kubernetes(tmp_path, wanted)
    [base] = read(tmp_path / "base/kustomization.yaml")
    assert base["images"] == [{"name": IMAGE, "newTag": f"v{release}-full"}]
    [job] = read(tmp_path / "base/migration-job.yaml")
    assert job["metadata"]["name"] == f"mlflow-db-upgrade-{release.replace('.', '-')}"
    [values] = read(helm_values(tmp_path / "helm", wanted))
    assert values["image"]["tag"] == f"v{release}-full"
    written = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.yaml"))
    assert release == SHIPPED_VERSION or SHIPPED_VERSION not in written


@pytest.mark.parametrize("unpublished", ["3.18.0.dev0", "latest", "v3.17.2", "3.17.2+local"])
def test_a_version_without_an_image_is_refused(unpublished: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image"):
        write_kubernetes(tmp_path, unpublished)
    assert not list(tmp_path.iterdir())


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    first = write_kubernetes(tmp_path)
    helm = helm_values(tmp_path)
    long_ago = 1_000_000_000
    for path in [*first, helm]:
        os.utime(path, (long_ago, long_ago))
    assert write_kubernetes(tmp_path) == first
    assert helm_values(tmp_path) == helm
    assert {path.stat().st_mtime for path in [*first, helm]} == {long_ago}
    assert set(tmp_path.rglob("*.yaml")) == {*first, helm}


def test_an_edited_file_is_not_overwritten_and_nothing_else_is_written(tmp_path: Path) -> None:
    for path in write_kubernetes(tmp_path):
        path.unlink()
    edited = tmp_path / "base/service.yaml"
    edited.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"service\.yaml is there with another content"):
        write_kubernetes(tmp_path)
    assert list(tmp_path.rglob("*.yaml")) == [edited]
    assert edited.read_text(encoding="utf-8") == "mine"
    values = helm_values(tmp_path)
    values.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"helm-values\.yaml is there"):
        helm_values(tmp_path)


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be written"):
        write_kubernetes(taken)


def test_the_helm_values_use_keys_of_the_chart_and_no_other(tmp_path: Path) -> None:
    [values] = read(helm_values(tmp_path))
    assert set(values) <= CHART_KEYS
    assert values["replicaCount"] == 2
    assert values["mlflow"]["backendStoreUriFrom"] == {"secretKeyRef": {"name": "mlflow-backend-store", "key": "uri"}}
    assert values["mlflow"]["artifactsDestination"].startswith("s3://")
