"""Prints the SQL of the dashboards as a script for psql: with Grafana's variables filled in, and the panel's name above each.

Usage: dashboard_sql.py <account>...
"""

import pathlib
import re
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "operations"))
import names

START, END = "now() - interval '1 hour'", "now() + interval '1 hour'"
ACCOUNTS = ",".join(f"'{account}'" for account in sys.argv[1:])

for place, statement in names.statements():
    statement = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {START} AND {END}", statement)
    statement = statement.replace("$__timeFrom()", f"({START})::text").replace("$__timeTo()", f"({END})::text")
    statement = statement.replace("${account:sqlstring}", ACCOUNTS)
    if "$" in statement:
        sys.exit(f"FAILED: {place}: unknown Grafana variable: {statement}")
    print(f"\\echo '# {place}'")
    print(f"{statement};")
