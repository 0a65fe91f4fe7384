"""Checks docker/compose.yaml without Docker: the files exist, and the parts match.

tests/acceptance/compose.sh runs what the containers would run.
"""

import re
import tomllib
import urllib.parse

import names
import yaml

FOLDER = names.ROOT / "docker"
MADE_BEFORE = {"./checkpoint-key.pem"}  # by the command at the top of compose.yaml

problems = []
compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
services = compose["services"]
settings = tomllib.loads((FOLDER / "sharewarden.toml").read_text())
dockerfile = (FOLDER / "Dockerfile").read_text()


def check(holds, problem):
    if not holds:
        problems.append(problem)


for name, service in services.items():
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            check(source in MADE_BEFORE or (FOLDER / source).exists(), f"{name}: there is no {source}")
            check(volume.endswith(":ro"), f"{name}: {source} could be written")
        else:
            check(source in compose["volumes"], f"{name}: there is no volume {source}")
    for other, wanted in service.get("depends_on", {}).items():
        check(other in services, f"{name}: there is no {other}")
        if wanted["condition"] == "service_healthy":
            check("healthcheck" in services[other], f"{name} waits for the health of {other}, which nobody asks")
    for network in service["networks"]:
        check(network in compose["networks"], f"{name}: there is no network {network}")
    for port in service.get("ports", []):
        check(port.startswith("127.0.0.1:"), f"{name}: {port} can be reached from elsewhere")
        check("outside" in service["networks"], f"{name}: a port is published on a closed network")
    if name != "postgres":  # its image begins as root, to own its volume
        check(service.get("read_only") and service.get("cap_drop") == ["ALL"], f"{name}: it is not confined")

# The services connect to Postgres with the passwords of the roles.
passwords = {
    f"sharewarden_{login}": services["postgres"]["environment"][variable]
    for login, variable in {"owner": "OWNER_PASSWORD", "server": "WRITER_PASSWORD", "dashboard": "READER_PASSWORD"}.items()
}
for name in ("migrate", "sharewarden"):
    url = urllib.parse.urlsplit(services[name]["environment"]["SHAREWARDEN__DATABASE__URL"])
    check(passwords.get(url.username) == url.password, f"{name}: another password than the role's")
    check(url.hostname in services, f"{name}: there is no {url.hostname}")
check(
    services["grafana"]["environment"]["SHAREWARDEN_READER_PASSWORD"] == passwords["sharewarden_dashboard"],
    "grafana: another password than the role's",
)
roles = (FOLDER / "postgres-roles.sh").read_text()
check(set(re.findall(r"\$(\w+_PASSWORD)", roles)) <= set(services["postgres"]["environment"]), "postgres-roles.sh: a password is missing")

# The addresses of the monitoring.
admin = settings.get("admin", {}).get("listen", "")
(job,) = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text())["scrape_configs"]
for target in job["static_configs"][0]["targets"]:
    host, port = target.split(":")
    check(host in services, f"prometheus.yml: there is no {host}")
    check(admin == f"0.0.0.0:{port}", f"prometheus.yml asks {target}, and admin.listen is {admin!r}")
    check(f" {port}" in re.search(r"^EXPOSE(.*)$", dockerfile, re.MULTILINE)[1], f"the image does not expose {port}")
for source in yaml.safe_load((FOLDER / "grafana/datasources.yaml").read_text())["datasources"]:
    host = source["url"].removeprefix("http://").split(":")[0]
    check(host in services, f"datasources.yaml: there is no {host}")
path = yaml.safe_load((FOLDER / "grafana/dashboards.yaml").read_text())["providers"][0]["options"]["path"]
mounted = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
for dashboard in names.dashboards():
    check(f"{path}/{dashboard}" in mounted, f"grafana: {dashboard} is not where dashboards.yaml looks")
for url in (settings["aws"]["endpoint_url"], settings["aws"]["sts_endpoint_url"]):
    host = urllib.parse.urlsplit(url)
    check(services[host.hostname]["command"][-1] == f"0.0.0.0:{host.port}", f"the simulator does not listen at {url}")

# The image. It is built without the simulator, except for the service that is the simulator.
check(re.search(r"scripts/release --program \"\$target\" --no-default-features --features \"\$\{FEATURES\}\"", dockerfile), "Dockerfile: the default features are built in")
check(re.search(r"^ARG FEATURES=$", dockerfile, re.MULTILINE), "Dockerfile: features are built in by default")
for name, service in services.items():
    features = service.get("build", {}).get("args", {}).get("FEATURES", "")
    check(features == ("dev" if name == "simulator" else ""), f"{name}: its image has the features {features!r}")
check(re.search(r"^USER 65532:65532$", dockerfile, re.MULTILINE), "Dockerfile: the user must be a number that is not root")
check("distroless" in dockerfile.split("FROM ")[-1], "Dockerfile: the last stage must have no shell")
check(re.search(r"^HEALTHCHECK", dockerfile, re.MULTILINE), "Dockerfile: there is no health check")

# Images of others are named by digest: a tag can be moved to other bytes. Ours have no digest before they are built.
BY_DIGEST = re.compile(r"[^@]+:[^@:/]+@sha256:[0-9a-f]{64}")
bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
pulled = [service["image"] for service in services.values() if "build" not in service and not service["image"].endswith(":dev")]
check(len(bases) == 2 and len(pulled) == 3, f"other images than expected: {bases} {pulled}")
for image in bases + pulled:
    check(BY_DIGEST.fullmatch(image), f"{image}: must be named by tag and digest, as name:tag@sha256:…")
base, digest = bases[-1].split("@")
check(f'base.name="{base}"' in dockerfile and f'base.digest="{digest}"' in dockerfile, "Dockerfile: the labels name another base image")
for label in ("title", "description", "licenses", "version", "revision"):
    check(f"org.opencontainers.image.{label}=" in dockerfile, f"Dockerfile: the label {label} is missing")

print(f"{len(services)} services of compose.yaml")
names.fail(problems)
