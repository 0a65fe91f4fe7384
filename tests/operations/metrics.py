"""Checks the names of metrics.

Usage: metrics.py            every metric and label in dashboards and alerts is in docs/metrics.md
       metrics.py SCRAPE     and docs/metrics.md lists what a running service exposes: SCRAPE is what /metrics answered
"""

import re
import sys

import names

metrics = names.documented()
problems = []
used = set()
for place, expression in names.expressions():
    for metric in names.metrics_in(expression) - {"up"}:
        used.add(metric)
        if not names.is_documented(metric, metrics):
            problems.append(f"{place}: docs/metrics.md has no {metric}")
    for metric, matchers in re.findall(r"(\w+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - {"job", "instance", "le"}
        unknown = labels - metrics.get(metric, metrics.get(names.family(metric), ("", set())))[1]
        if unknown:
            problems.append(f"{place}: docs/metrics.md lists for {metric} no label {', '.join(sorted(unknown))}")

if len(sys.argv) > 1:
    with open(sys.argv[1], encoding="utf-8") as file:
        scrape = file.read()
    exposed = dict(re.findall(r"^# TYPE (\S+) (\w+)$", scrape, flags=re.MULTILINE)) | {
        f"{name}_total": "counter" for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", scrape, flags=re.MULTILINE) if kind == "counter"
    }
    labels = {}
    for series, found in re.findall(r"^(\w+)(?:\{(.*)\})? ", scrape, flags=re.MULTILINE):
        name = series if series in metrics else names.family(series)
        labels.setdefault(name, set()).update(set(re.findall(r'(\w+)="', found)) - {"le", "quantile"})
        if name not in metrics:
            problems.append(f"the service exposes {series}, which docs/metrics.md does not list")
    for name, (kind, wanted, there) in metrics.items():
        if name not in labels:
            if there:
                problems.append(f"the service does not expose {name}")
            continue
        if exposed.get(name) != kind:
            problems.append(f"{name} is a {exposed.get(name)}, but docs/metrics.md says {kind}")
        extra = {label for label in labels[name] - wanted if not label.startswith("otel_scope_")}
        if extra:
            problems.append(f"{name} has the labels {', '.join(sorted(extra))}, which docs/metrics.md does not list")

print(f"{len(metrics)} metrics are documented, {len(used)} series of them used in dashboards and alerts")
names.fail(sorted(set(problems)))
