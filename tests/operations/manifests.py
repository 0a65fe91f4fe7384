"""Checks the Kubernetes manifests against Kubernetes' schemas, and that they match each other.

If `kustomize` or `kubectl` is installed, its output for the examples is checked too.
"""

import pathlib
import shutil
import subprocess

import kubernetes_validate
import names
import yaml

FOLDER = names.ROOT / "deploy/kubernetes"
# The oldest supported version (preStop.sleep), and the latest one that the checker supports.
VERSIONS = ["1.30.0", kubernetes_validate.latest_version()]
PROBES = {"startupProbe": "liveness", "livenessProbe": "liveness", "readinessProbe": "readiness"}
SHUTDOWN_GRACE = 20  # server.shutdown_grace, by default

problems = []


def validate(document, place):
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{place}: Kubernetes {version}: {error.message}")


def check_container(container, pod, place):
    security, of_pod = container.get("securityContext", {}), pod.get("securityContext", {})
    wanted = {
        "it may be root": of_pod.get("runAsNonRoot") is True and of_pod.get("runAsUser") == 65532,
        "its root can be written": security.get("readOnlyRootFilesystem") is True,
        "it may gain privileges": security.get("allowPrivilegeEscalation") is False,
        "it has capabilities": security.get("capabilities") == {"drop": ["ALL"]},
        "it has no seccomp profile": of_pod.get("seccompProfile") == {"type": "RuntimeDefault"},
        "it has no memory limit": "memory" in container.get("resources", {}).get("limits", {}),
        "it has Kubernetes' token": pod.get("automountServiceAccountToken") is False,
    }
    problems.extend(f"{place}: {problem}" for problem, holds in wanted.items() if not holds)
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
    if volumes != mounts:
        problems.append(f"{place}: volumes {volumes} and mounts {mounts} differ")


def check_together(documents, place):
    """Checks selectors, the ports of probes, and the time for termination."""
    kinds = {document["kind"]: document for document in documents}
    workload = kinds.get("Deployment") or kinds["Job"]
    template = workload["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    (container,) = pod["containers"]
    check_container(container, pod, place)
    selectors = {
        "NetworkPolicy": kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    }
    if "Deployment" in kinds:
        for kind in ("Deployment", "PodDisruptionBudget"):
            selectors[kind] = kinds[kind]["spec"]["selector"]["matchLabels"]
        selectors["Service"] = kinds["Service"]["spec"]["selector"]
        ports = {port["containerPort"] for port in container["ports"]}
        for probe, service in PROBES.items():
            asked = container[probe]["grpc"]
            if asked["port"] not in ports or asked["service"] != service:
                problems.append(f"{place}: {probe} has the wrong target {asked}")
        pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        if pod["terminationGracePeriodSeconds"] <= pre_stop + SHUTDOWN_GRACE:
            problems.append(f"{place}: terminationGracePeriodSeconds is too short")
        if pod["serviceAccountName"] != kinds["ServiceAccount"]["metadata"]["name"]:
            problems.append(f"{place}: the pods have another service account")
    for kind, selector in selectors.items():
        if not selector.items() <= labels.items():
            problems.append(f"{place}: {kind} selects {selector}, but the pods have {labels}")


def check_kustomization(file):
    folder = file.parent
    kustomization = yaml.safe_load(file.read_text())
    named = kustomization.get("resources", []) + kustomization.get("components", [])
    named += [name for generator in kustomization.get("configMapGenerator", []) for name in generator["files"]]
    missing = [name for name in named if not (folder / name).exists()]
    there = {path.name for path in folder.iterdir() if path.is_file()} - {"kustomization.yaml"}
    if missing or there - set(named):
        problems.append(f"{file.relative_to(names.ROOT)}: does not have {missing}, and leaves out {there - set(named)}")


def rendered(folder):
    for program in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(program[0]):
            text = subprocess.run([*program, str(folder)], check=True, capture_output=True, text=True).stdout
            return list(yaml.safe_load_all(text))
    return None


def main():
    for file in sorted(FOLDER.rglob("kustomization.yaml")):
        check_kustomization(file)
    for part in ("service", "migrate"):
        documents = []
        for file in sorted((FOLDER / part).glob("*.yaml")):
            if file.name == "kustomization.yaml":
                continue
            for document in yaml.safe_load_all(file.read_text()):
                validate(document, pathlib.Path("deploy/kubernetes", part, file.name))
                documents.append(document)
        check_together(documents, f"deploy/kubernetes/{part}")
        whole = rendered(FOLDER / "example" / part)
        if whole is None:
            print(f"example/{part} is not rendered: neither kustomize nor kubectl is installed")
            continue
        for document in whole:
            validate(document, f"example/{part}: {document['kind']}")
        check_together(whole, f"example/{part}")
        print(f"{part}: {len(documents)} manifests, {len(whole)} in the example; Kubernetes {' and '.join(VERSIONS)}")
    names.fail(problems)


main()
