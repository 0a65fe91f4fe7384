"""Checks that each alert has instructions and a test.

Each has a severity, a summary, and a section in docs/runbook.md that its runbook_url leads to; each section is one of an alert;
each is fired and kept silent in alerts.test.yml.
"""

import re

import names
import yaml

RUNBOOK = names.ROOT / "docs/runbook.md"
PARTS = ["Means", "Look at", "Do"]

problems = []
alerts = {alert["alert"]: alert for alert in names.alerts()}
sections = {}
for section in re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
    title, _, text = section.partition("\n")
    sections[title.strip()] = text

for name, alert in alerts.items():
    notes = alert["annotations"]
    if alert["labels"]["severity"] not in ("critical", "warning"):
        problems.append(f"{name}: severity must be critical or warning")
    if not notes.get("summary"):
        problems.append(f"{name}: no summary")
    if notes.get("runbook_url") != f"docs/runbook.md#{name.lower()}":
        problems.append(f"{name}: runbook_url must be docs/runbook.md#{name.lower()}")
    text = sections.get(name)
    if text is None:
        problems.append(f"{name}: docs/runbook.md has no section for it")
        continue
    problems += [f"{name}: its section has no **{part}**" for part in PARTS if f"**{part}.**" not in text]
    if f"*{alert['labels']['severity']}*" not in text:
        problems.append(f"{name}: its section has another severity than {alert['labels']['severity']}")

problems += [
    f"docs/runbook.md: there is no alert {title}" for title in sections if title.startswith("Sharewarden") and title not in alerts
]

tests = yaml.safe_load((names.ROOT / "docker/prometheus/alerts.test.yml").read_text())["tests"]
fired = {}
for test in tests:
    looked = test["promql_expr_test"]
    for look in looked:
        for sample in look.get("exp_samples", []):
            fired[re.search(r'alertname="(\w+)"', sample["labels"])[1]] = any(not at.get("exp_samples") for at in looked)
problems += [f"{name}: alerts.test.yml does not fire it" for name in alerts if name not in fired]
problems += [f"{name}: alerts.test.yml does not keep it silent" for name, silent in fired.items() if not silent]

print(f"{len(alerts)} alerts, {len(sections)} sections of the runbook")
names.fail(problems)
