# Monitoring: probes, Prometheus with the repository's settings, and the SQL of the audit dashboard. Sourced by run,
# after compose.sh.
# shellcheck shell=bash disable=SC2154

for path in healthz readyz; do
  python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=10)' "$admin/$path" || die "$admin/$path"
done
python3 -c 'import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=10).read().decode())' "$admin/metrics" \
  >"$work/metrics" || die "$admin/metrics"
promtool check metrics <"$work/metrics" || die "promtool check metrics failed"
python3 tests/operations/metrics.py "$work/metrics" || die "docs/metrics.md differs from the metrics of the service"
ok "/metrics passes promtool and matches docs/metrics.md"

mkdir "$work/prometheus"
sed -e "s#sharewarden:9464#${admin#http://}#; s#15s#1s#; s#alerts.yml#$PWD/docker/prometheus/alerts.yml#" \
  docker/prometheus/prometheus.yml >"$work/prometheus/prometheus.yml"
start prometheus prometheus --config.file="$work/prometheus/prometheus.yml" --storage.tsdb.path="$work/prometheus/data" \
  --web.listen-address=127.0.0.1:0
wait_for prometheus 'Listening on'
python3 "$here/prometheus_sees.py" "http://$(sed -n 's/.*"Listening on" address=\([0-9.:]*\).*/\1/p' "$work/prometheus.err")" ||
  die "Prometheus does not see the service as expected"
stop prometheus TERM

python3 "$here/dashboard_sql.py" 111122223333 444455556666 >"$work/dashboards.sql" || die "dashboard_sql.py failed"
psql "$(as_role sharewarden_dashboard acceptance_compose)" --no-psqlrc -qAt -v ON_ERROR_STOP=1 -f "$work/dashboards.sql" \
  >"$work/dashboards.out" 2>"$work/dashboards.err" || die "the SQL of the audit dashboard failed as sharewarden_dashboard"
for wanted in 'took effect, by day' 'did not take effect, by day' 'Requests by principal' 'Denied and failed changes' 'Latest entries'; do
  grep -A 1 -F "$wanted" "$work/dashboards.out" | tail -n 1 | grep -qv '^#' || die "the panel \"$wanted\" shows nothing"
done
! grep -A 1 -F 'Denied and failed changes' "$work/dashboards.out" | tail -n 1 | grep -q '|$' || die "the panel \"Denied and failed changes\" has no reasons"
ok "the audit dashboard's $(grep -c '^# ' "$work/dashboards.out") queries work as sharewarden_dashboard"
