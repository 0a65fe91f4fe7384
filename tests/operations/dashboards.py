"""Checks the dashboards without Grafana, and writes their queries.

Usage: dashboards.py [--rules FILE]

--rules writes every expression of the dashboards as a recording rule, so that `promtool check rules` parses it.
"""

import json
import re
import sys

import names

# Variables that Grafana fills in.
INTERVAL = {"$__rate_interval": "1m", "$__interval": "1m"}


def overlap(one, other):
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def sources_in(value):
    """The data sources that a dashboard names, at any depth."""
    if isinstance(value, dict):
        if "datasource" in value:
            yield value["datasource"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from sources_in(inner)


def problems_of_sources(name, dashboard, sources):
    """A dashboard is imported anywhere: a variable chooses its data source. The Grafana of compose.yaml has one to choose."""
    first = dashboard["templating"]["list"][0]
    if first["type"] != "datasource" or first["current"]:
        yield f"{name}: the first variable does not choose the data source, or has a value already"
    if list(sources.values()).count(first["query"]) != 1:
        yield f"{name}: datasources.yaml does not have one data source of the type {first['query']}"
    chosen = {"type": first["query"], "uid": "${%s}" % first["name"]}
    for source in {str(source) for source in sources_in(dashboard) if source != chosen}:
        yield f"{name} names the data source {source}, not the chosen one"
    if dashboard.get("id") is not None:
        yield f"{name} has the id of one Grafana"


def problems_of(name, dashboard, sources):
    yield from problems_of_sources(name, dashboard, sources)
    panels = list(names.panels(dashboard))
    ids = [panel["id"] for panel in panels]
    if len(ids) != len(set(ids)):
        yield f"{name}: two panels have the same id"
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    for at, panel in enumerate(panels):
        title, place = panel["title"], panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{name}: {title} is wider than the page"
        for other in panels[:at]:
            if overlap(place, other["gridPos"]):
                yield f"{name}: {title} overlaps {other['title']}"
        if panel["type"] == "row":
            continue
        if not panel.get("targets"):
            yield f"{name}: {title} has no query"
        for target in panel["targets"]:
            text = target.get("expr") or target.get("rawSql")
            unknown = set(re.findall(r"\$\{?(\w+)", text)) - variables - {"__rate_interval", "__timeFilter", "__timeFrom", "__timeTo"}
            if unknown:
                yield f"{name}: {title} uses the undefined variable {unknown}"


# The members of the text of an entry (crates/ledger/src/envelope/mod.rs). The fields of a change are in `body`.
MEMBERS = {"account_id", "body", "kind", "log_index", "recorded_at", "schema", "server_version"}
KINDS = set(re.findall(r'name: "([a-z_.]+)"', (names.ROOT / "src/domain/entry/kinds.rs").read_text()))


def problems_of_kinds():
    """Checks the members that are read from the text of an entry, and the kinds in conditions."""
    asked = []
    for place, statement in names.statements():
        for member in re.findall(r"::jsonb\s*->>?\s*'(\w+)'", statement):
            if member not in MEMBERS:
                yield f"{place}: the text of an entry has no member {member}"
        for values in re.findall(r"\bkind\s*(?:=|IN)\s*('[^']*'|\([^)]*\))", statement):
            asked += [(place, kind) for kind in re.findall(r"'([^']*)'", values)]
    for place, expression in names.expressions():
        for values in re.findall(r'\bkind=~?"([^"]*)"', expression):
            asked += [(place, kind) for kind in values.split("|")]
    yield from (f"{place}: unknown kind {kind}" for place, kind in asked if kind not in KINDS)
    if len(KINDS) < 5 or len(asked) < 5:
        yield f"dashboards.py found too few: {len(KINDS)} kinds, {len(asked)} of them in queries"


def filled(expression, job="sharewarden", instance=".*"):
    """The expression with the variables of the dashboard filled in."""
    for variable, value in {**INTERVAL, "$job": job, "$instance": instance}.items():
        expression = expression.replace(variable, value)
    return expression


def main():
    sources = {
        source["uid"]: source["type"]
        for source in names.yaml.safe_load((names.GRAFANA / "datasources.yaml").read_text())["datasources"]
    }
    dashboards = names.dashboards()
    problems = [problem for name, dashboard in dashboards.items() for problem in problems_of(name, dashboard, sources)]
    problems += problems_of_kinds()
    uids = [dashboard["uid"] for dashboard in dashboards.values()]
    if len(uids) != len(set(uids)):
        problems.append("two dashboards have the same uid")
    if "--rules" in sys.argv:
        asked = [expression for place, expression in names.expressions() if not place.startswith("Sharewarden")]
        rules = [{"record": f"panel:{n}", "expr": filled(expression)} for n, expression in enumerate(asked)]
        with open(sys.argv[sys.argv.index("--rules") + 1], "w", encoding="utf-8") as file:
            json.dump({"groups": [{"name": "dashboards", "rules": rules}]}, file)
    print(f"{len(dashboards)} dashboards, {sum(len(list(names.panels(d))) for d in dashboards.values())} panels")
    names.fail(problems)


if __name__ == "__main__":
    main()
