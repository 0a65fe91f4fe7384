"""Shared by the checks: the metrics and statements of dashboards and alerts, and the metrics in docs/metrics.md."""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRAFANA = ROOT / "docker/grafana"
ALERTS = ROOT / "docker/prometheus/alerts.yml"
DOCUMENT = ROOT / "docs/metrics.md"

# PromQL keywords, which are not metrics.
WORDS = set("by without on ignoring group_left group_right offset bool and or unless inf nan".split())


def fail(problems):
    """Prints one line for each problem, and ends the check."""
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


def dashboards():
    """The dashboards, by the name of their file."""
    return {path.name: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}


def panels(dashboard):
    """The panels of a dashboard, including those in collapsed rows."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def alerts():
    """The alerts."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions():
    """The PromQL expressions: pairs of a place and an expression."""
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel.get("targets", []):
                if "expr" in target:
                    yield f"{name}: {panel['title']}", target["expr"]
        for variable in dashboard["templating"]["list"]:
            asked = re.fullmatch(r"label_values\((.*), *\w+\)", str(variable.get("definition")))
            if asked:
                yield f"{name}: ${variable['name']}", asked[1]
    for alert in alerts():
        yield alert["alert"], alert["expr"]


def statements():
    """The SQL statements: pairs of a place and a statement."""
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel.get("targets", []):
                if "rawSql" in target:
                    yield f"{name}: {panel['title']}", target["rawSql"]
        for variable in dashboard["templating"]["list"]:
            if str(variable.get("definition")).startswith("SELECT"):
                yield f"{name}: ${variable['name']}", variable["definition"]


def metrics_in(expression):
    """The metrics that a PromQL expression names."""
    text = re.sub(r'"(?:\\.|[^"\\])*"', "", expression)  # label values
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", text)  # matchers, ranges
    text = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    names = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\w|\s*\()", re.sub(r"\b\d[\w.]*", " ", text))
    return {name for name in names if name not in WORDS}


def family(metric):
    """The metric that a histogram's series belongs to."""
    return re.sub(r"_(bucket|sum|count)$", "", metric)


def documented():
    """The metrics of docs/metrics.md: their type, their labels, and whether they exist from the start."""
    metrics = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 8 and cells[1].startswith("`"):
            name, kind, labels, _, there = cells[1].strip("`"), *cells[2:6]
            metrics[name] = (kind, set(re.findall(r"`(\w+)`", labels)), there != "later")
    return metrics


def is_documented(metric, metrics):
    """Whether docs/metrics.md lists it: a series of a histogram under the histogram's name."""
    if metric in metrics:
        return metrics[metric][0] != "histogram"
    return metric != family(metric) and metrics.get(family(metric), ("",))[0] == "histogram"
