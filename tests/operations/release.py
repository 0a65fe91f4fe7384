"""Checks how a release is made, without building it: the commands of scripts/release, and the workflow that calls it."""

import os
import re
import subprocess

import names

SCRIPT = names.ROOT / "scripts/release"
TARGETS = ("x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl")
problems = []


def check(condition, problem):
    if not condition:
        problems.append(problem)


def dry_run(*targets, **environment):
    environment = os.environ | environment
    return subprocess.run([SCRIPT, "--dry-run", *targets], env=environment, capture_output=True, text=True, check=False)


def made():
    """The files of a release that is already there."""
    return {(file, file.stat().st_mtime_ns) for file in names.ROOT.glob("dist/**/*")}


before = made()
both = dry_run()
check(both.returncode == 0, f"scripts/release --dry-run: {both.stderr}")
lines = both.stdout.splitlines()
for target in TARGETS:
    builds = [line for line in lines if "cargo zigbuild" in line and line.rstrip().endswith(f"--target {target}")]
    check(len(builds) == 1, f"scripts/release builds {target} {len(builds)} times")
    check(all("--release --locked --package sharewarden" in line for line in builds), f"{target}: another build: {builds}")
    packs = [line for line in lines if line.startswith("tar ") and target in line]
    check(len(packs) == 1 and "--sort=name" in packs[0] and "--mtime=@" in packs[0], f"{target} is not packed alike each time: {packs}")
check(any("scripts/sbom dist/" in line for line in lines), "scripts/release makes no bill of materials")
check("SHA256SUMS" in lines[-1], "scripts/release does not end with the checksums")
one = dry_run(TARGETS[0])
check(TARGETS[1] not in one.stdout, "scripts/release builds a target that was not asked for")
elsewhere = dry_run(TARGETS[0], CARGO_TARGET_DIR="/elsewhere").stdout
check("--remap-path-prefix=/elsewhere=/src/target" in elsewhere, "the program contains the path of the target folder")
other = dry_run("riscv64gc-unknown-linux-gnu")
check(other.returncode != 0 and "unknown target" in other.stderr, "scripts/release accepts any target")
for kind, refused in (("-S", False), ("", True)):
    command = ["bash", "-c", f"ulimit {kind} -n 1024 && {SCRIPT} --dry-run"]
    few = subprocess.run(command, capture_output=True, text=True, check=False)
    check(("the limit is 1024" in few.stderr) == refused, f"ulimit {kind} -n 1024, which linking exceeds: {few.stderr}")
check(made() == before, "a dry run made or removed files")

workflow = names.yaml.safe_load((names.ROOT / ".github/workflows/release.yml").read_text())
steps = [step.get("run", "") for step in workflow["jobs"]["release"]["steps"]]
# YAML 1.1 reads the key `on` as true.
check(workflow[True]["push"]["tags"] == ["v*"], "the workflow does not run for tags")
check("scripts/release" in steps, "the workflow does not call scripts/release")
used = [step["uses"] for step in workflow["jobs"]["release"]["steps"] if "uses" in step]
check(used and all(re.search(r"@[0-9a-f]{40}$", action) for action in used), f"an action is not named by its commit: {used}")
check(any(re.search(r"gh release create .* dist/\*", step) for step in steps), "the workflow does not publish dist/")
version = re.search(r"^CARGO_CYCLONEDX=(\S+)$", (names.ROOT / ".ci/run").read_text(), re.MULTILINE)
check(version, ".ci/run does not have the version of cargo-cyclonedx, which the workflow reads")
print(f"{len(lines)} commands make a release")
names.fail(problems)
