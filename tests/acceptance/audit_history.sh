# An auditor exports the history, and two independent verifiers check it. Then a superuser alters it. Sourced by run while `dev`
# serves, after `against_simulator.sh` has made twelve entries.
# shellcheck shell=bash disable=SC2154

account=111122223333
ask() { "$program" --server "$server" --principal auditor "$@"; }

checkpoint=$work/checkpoint deadline=$((SECONDS + 60))
until ask checkpoint --account "$account" 2>/dev/null >"$checkpoint" && [ "$(sed -n 2p "$checkpoint")" = 12 ]; do
  [ "$SECONDS" -lt "$deadline" ] || die "no checkpoint of the twelve entries within a minute"
  sleep 0.1
done
key=$(ask checkpoint --account "$account" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["verifierKeys"][0])') ||
  die "sharewarden checkpoint -o json failed"
ask audit export --account "$account" --to "$work/export.jsonl" || die "sharewarden audit export failed"
python3 docs/verify_export.py "$work/export.jsonl" >"$work/verified" || die "the Python verifier failed"
grep -q "^OK entries 0 to 11 of account $account match the checkpoint of 12 entries with root " "$work/verified" || die "the Python verifier says $(cat "$work/verified")"
ask audit verify --export "$work/export.jsonl" --key "$key" --against "$checkpoint" >/dev/null || die "audit verify --export failed"
ask audit verify --account "$account" --key "$key" --against "$checkpoint" >/dev/null || die "audit verify of the service failed"
ok "the Rust and the Python verifier accept the export, and audit verify accepts the service"

buf curl --protocol grpc --http2-prior-knowledge --reflect --timeout 30s -H 'x-sharewarden-principal: auditor' \
  -d '{"filter": {"kinds": ["change.succeeded"], "text": "ACCEPTANCE"}}' \
  "$server/sharewarden.v1.AuditService/ListAuditEntries" >"$work/answer" || die "buf curl ListAuditEntries failed"
[ "$(grep -c '"canonical"' "$work/answer")" = 6 ] || die "not six entries change.succeeded: $(cat "$work/answer")"
ask audit list --kind change.succeeded -o csv >"$work/answer" || die "sharewarden audit list --kind failed"
[ "$(grep -c ',change.succeeded,1,' "$work/answer")" = 6 ] || die "not six entries change.succeeded of schema 1: $(cat "$work/answer")"
[ "$(psql "$database" --no-psqlrc -qAtc "SELECT sum(entries) FROM reporting.daily_totals")" = 12 ] || die "reporting.daily_totals has a wrong count"
ok "buf curl, sharewarden's client and a dashboard view give the counts of the ledger"

# found STATEMENT INDEX: a superuser runs the statement, and a verifier with a key and a checkpoint finds it.
found() {
  local status=0
  psql "$database" --no-psqlrc -q -v ON_ERROR_STOP=1 -c "BEGIN; SET LOCAL session_replication_role = replica; $1; COMMIT" || die "psql: $1"
  ask audit verify --account "$account" --key "$key" --against "$checkpoint" >"$work/verified" 2>&1 || status=$?
  [ "$status" = 9 ] || die "after $1 audit verify ends with $status: $(cat "$work/verified")"
  grep -q "$account" "$work/verified" && grep -qi "$2" "$work/verified" || die "it does not name $account and $2: $(cat "$work/verified")"
}
found "UPDATE audit_entry SET entry = replace(entry, 'acceptance test', 'an excuse') WHERE log_index = 3" 'entry 3'
found "DELETE FROM audit_entry WHERE log_index = 1" 'entry 1 '
ok "a changed reason and a removed entry are reported with account and index"
