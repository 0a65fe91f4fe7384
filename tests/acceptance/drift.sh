# boto3 shares 60 accounts with an image past the service, and takes away a share that the service made. All of it is found and
# attributed, and nothing else. A person and the service itself decide about it. Sourced by run while `dev` serves, with a
# simulator and a database of its own.
# shellcheck shell=bash disable=SC2154

"$program" key generate --name sharewarden.test --out "$work/drift.key" >"$work/drift.vkey" || die "sharewarden key generate failed"
cat >"$work/drift-simulator.json" <<JSON
{
  "accounts": [{ "id": "111122223333" }],
  "images": [{ "region": "eu-central-1", "image_id": "wsi-basewin11", "name": "base", "owner": "111122223333" }],
  "trail_delay_milliseconds": 0
}
JSON
start drift-simulator "$program" simulate --listen 127.0.0.1:0 --settings "$work/drift-simulator.json"
wait_for drift-simulator 'http://127.0.0.1:'
aws=$(grep -oh 'http://127.0.0.1:[0-9]*' "$work/drift-simulator.out" "$work/drift-simulator.err" | head -n 1)
cat >"$work/drift.toml" <<TOML
server.listen = "127.0.0.1:0"
database.url = "${database/\/sharewarden\?//acceptance_drift?}"
aws.endpoint_url = "$aws"
aws.sts_endpoint_url = "$aws"
auth.modes = ["trusted-header"]
roles = [{ principal = "*", roles = ["viewer", "operator", "auditor"] }]
checkpoint.name = "sharewarden.test"
checkpoint.key_file = "$work/drift.key"
drift.interval = "2s"
drift.confirm_after = "1s"
forwarder.late_effect_window = "1s"

[[accounts]]
id = "111122223333"
regions = ["eu-central-1"]
share_with = "anyone"
role_arn = "arn:aws:iam::111122223333:role/sharewarden"
on_drift = "revoke"
TOML
export AWS_ACCESS_KEY_ID=AKIA111122223333 AWS_SECRET_ACCESS_KEY=any
"$program" migrate --config "$work/drift.toml" 2>"$work/migrate.err" || die "sharewarden migrate failed"
start drift "$program" serve --config "$work/drift.toml"
wait_for drift '"serving"'
compared=http://$(sed -n 's/.*"serving".*"address":"\([^"]*\)".*/\1/p' "$work/drift.err")
drift() { "$program" "$1" --server "$compared" --principal acceptance "${@:2}"; }

sharewarden grant "$compared" "$image" 210987654321 >"$work/answer" || die "sharewarden grant failed"
sharewarden grant "$compared" "$image" 777788889999 >"$work/answer" || die "sharewarden grant failed"
python3 "$here/outsider.py" "$aws" "$image" 60 210987654321 || die "boto3 could not share past the service"

# findings: waits until this number of findings is open, and each names the caller.
findings() {
  local deadline=$((SECONDS + 90))
  while drift drift list -o csv >"$work/findings" 2>"$work/findings.err" || die "drift list failed: $(cat "$work/findings.err")"; do
    [ "$(grep -c 'user/simulator' "$work/findings")" != "$1" ] || [ "$(wc -l <"$work/findings")" != $(($1 + 1)) ] || return 0
    [ "$SECONDS" -lt "$deadline" ] || die "there are not $1 findings with their caller: $(cat "$work/findings")"
    sleep 0.5
  done
}
findings 61
[ "$(grep -c UNRECORDED_SHARE "$work/findings")" = 60 ] || die "not 60 unrecorded shares: $(cat "$work/findings")"
grep MISSING_SHARE "$work/findings" | grep -q 210987654321 || die "the missing share is not found: $(cat "$work/findings")"
drift drift scan >"$work/scan" 2>&1 && die "a scan with open findings has exit status 0" || [ $? = 10 ] || die "drift scan failed: $(cat "$work/scan")"
ok "boto3 shares 60 accounts past the service and takes one away: 61 differences are found with their caller, and none else"

drift drift adopt "$image" -w 600000000000 -m 'is known' -t CHG-1 >"$work/answer" || die "drift adopt failed"
drift drift revoke "$image" -w 600000000001 -m 'is not known' >"$work/answer" || die "drift revoke failed"
drift drift restore "$image" -w 210987654321 -m 'is in use' >"$work/answer" || die "drift restore failed"
findings 58
drift drift baseline confirm -a 111122223333 -m 'the rest is known' >"$work/answer" || die "drift baseline confirm failed"
python3 "$here/outsider.py" "$aws" "$image" 1 '' 700000000000 || die "boto3 could not share past the service"
deadline=$((SECONDS + 90))
until drift audit list --cause drift --kind change.succeeded -o csv | grep -q 700000000000; do
  [ "$SECONDS" -lt "$deadline" ] || die "a share that was made past the service after the baseline is not revoked"
  sleep 0.5
done
findings 58
python3 "$here/shared_with.py" "$aws" AKIA111122223333 "$image" 600000000000 210987654321 777788889999 \
  $(seq 600000000002 600000000059) || die "the simulator does not have what was decided"
ok "adopt, revoke, restore, and a revoke without a caller do what they say, in the ledger and at the simulator"

stop drift TERM
stop drift-simulator TERM

