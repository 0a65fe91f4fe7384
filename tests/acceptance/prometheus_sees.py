"""Checks that a running Prometheus scrapes the service, has the alerts, and answers the queries of every dashboard.

Usage: prometheus_sees.py <Prometheus URL>

Waits for the first scrapes and evaluations, for a minute at most.
"""

import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "operations"))
import names
from dashboards import filled

PATIENCE_SECONDS = 60
(url,) = sys.argv[1:]


def get(path, **parameters):
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=10) as answer:
        told = json.load(answer)
    if told["status"] != "success":
        sys.exit(f"FAILED: {path} {parameters}: {told}")
    return told["data"]


def query(expression):
    return get("query", query=expression)["result"]


def wait_for(what, holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: {what} within {PATIENCE_SECONDS} seconds; targets: {get('targets')['activeTargets']}")
        time.sleep(0.1)
    print(f"ok: {what}")


def rules():
    return [rule for group in get("rules")["groups"] for rule in group["rules"]]


wait_for("Prometheus scrapes the service", lambda: query('up{job="sharewarden"} == 1'))
wait_for("it has its series", lambda: query('{__name__=~"sharewarden_.+", job="sharewarden"}'))
wanted = sorted(alert["alert"] for alert in names.alerts())
wait_for("it has evaluated the alerts", lambda: all(rule["lastEvaluation"] > "0001-01-02" for rule in rules()))
found = {rule["name"]: rule for rule in rules()}
if sorted(found) != wanted:
    sys.exit(f"FAILED: Prometheus has the alerts {sorted(found)}, expected {wanted}")
wrong = [name for name, rule in found.items() if rule["health"] != "ok" or rule["state"] == "firing"]
if wrong:
    sys.exit(f"FAILED: for a healthy service, these alerts fire or cannot be evaluated: {wrong}")

# A rate needs two scrapes.
wait_for("it has scraped more than once", lambda: query('count_over_time(up{job="sharewarden"}[1m]) > 2'))
asked = [(place, filled(expression)) for place, expression in names.expressions() if place not in found]
empty = {place: expression for place, expression in asked if not query(expression)}
# An empty result is correct only if no event was counted yet.
wrong = [place for place, expression in empty.items() if all(query(metric) for metric in names.metrics_in(expression))]
if wrong:
    sys.exit(f"FAILED: the metrics exist, but these queries have no result: {wrong}")
print(f"ok: it answers the {len(asked)} queries of the dashboards; no events yet for: {', '.join(empty) or 'none'}")
