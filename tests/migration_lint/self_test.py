#!/usr/bin/env python3
"""The linter of the migrations refuses each file in bad/, for the reason in its first line, and admits each file in good/."""

import subprocess
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
linter = here.parent.parent / "scripts/lint-migrations"
failed = 0


def run(*files):
    return subprocess.run([linter, "--after", "6", *files], capture_output=True, text=True)


def expect(holds, what, output):
    global failed
    if not holds:
        failed += 1
        print(f"FAILED: {what}\n{output}", file=sys.stderr)


bad, good = sorted(here.glob("bad/*.sql")), sorted(here.glob("good/*.sql"))
for file in bad:
    reason = file.read_text().splitlines()[0].removeprefix("-- expect: ")
    result = run(file)
    expect(result.returncode == 1, f"{file.name} passes", result.stdout + result.stderr)
    found = [line.split(": ")[1] for line in result.stdout.splitlines() if line.startswith(f"{file}:")]
    expect(reason in found, f"{file.name} is not refused for {reason}", result.stdout + result.stderr)
    expect(result.stdout.count("    instead: ") == len(found), f"{file.name}: a reason says no other way", result.stdout)
for file in good:
    result = run(file)
    expect(result.returncode == 0, f"{file.name} is refused", result.stdout + result.stderr)
if failed:
    sys.exit(1)
print(f"{len(bad)} bad migrations are refused for their reasons, {len(good)} good ones pass")
