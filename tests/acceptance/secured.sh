# Clients with certificates and tokens, over TLS. Sourced by run while `dev` serves. It uses the simulator and the
# Postgres of `dev`, with a separate database.
# shellcheck shell=bash disable=SC2154

mkdir "$work/secured"
python3 "$here/credentials.py" "$work/secured" || die "credentials.py failed"
vkey=$("$program" key generate --name sharewarden.test --out "$work/secured/checkpoint.key") || die "sharewarden key generate failed"

cat >"$work/secured.toml" <<TOML
server.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
database.url = "${database/\/sharewarden\?//acceptance_secured?}"
aws.endpoint_url = "$simulator"
aws.sts_endpoint_url = "$simulator"
checkpoint.name = "sharewarden.test"
checkpoint.key_file = "$work/secured/checkpoint.key"
checkpoint.every = "1s"

[server.tls]
certificate = "$work/secured/server.pem"
key = "$work/secured/server.key"
client_ca = "$work/secured/ca.pem"
client_auth = "optional"
reload_every = "500ms"

[auth]
modes = ["mtls", "jwt"]

[auth.jwt]
issuer = "https://login.example.com"
audience = "sharewarden"
jwks = "$work/secured/jwks.json"

[[roles]]
principal = "spiffe://example.com/ns/build/*"
roles = ["operator", "viewer"]

[[roles]]
principal = "pipeline@example.com"
roles = ["operator"]

[[roles]]
principal = "auditor@example.com"
roles = ["auditor"]

[[accounts]]
id = "111122223333"
regions = ["eu-central-1"]
share_with = "anyone"
role_arn = "arn:aws:iam::111122223333:role/sharewarden"
TOML

export AWS_ACCESS_KEY_ID=AKIA111122223333 AWS_SECRET_ACCESS_KEY=any
"$program" migrate --config "$work/secured.toml" 2>"$work/migrate.err" || die "sharewarden migrate failed"
start secured "$program" serve --config "$work/secured.toml"
wait_for secured '"serving"'
port=$(sed -n 's/.*"serving".*"address":"[^"]*:\([0-9]*\)".*/\1/p' "$work/secured.err")

python3 "$here/secured_clients.py" "$port" "$work/secured" 111122223333/eu-central-1/wsi-basewin11 \
  310987654321 410987654321 >"$work/granted" || die "the Python clients with certificates and tokens failed"
[ "$(wc -l <"$work/granted")" = 2 ] || die "not two grants: $(cat "$work/granted")"
ok "Python clients with mTLS and with a JWT can grant; all other credentials are refused"

psql "${database/\/sharewarden\?//acceptance_secured?}" --no-psqlrc -qAt -F ' ' -v ON_ERROR_STOP=1 >"$work/found" -c "
  SELECT principal, change_id FROM audit_entry WHERE kind = 'change.succeeded' ORDER BY log_index" || die "psql failed"
diff "$work/granted" "$work/found" || die "the principals in the ledger (>) differ from the callers (<)"
grep -q '^spiffe://example.com/ns/build/sa/pipeline ' "$work/found" && grep -q '^pipeline@example.com ' "$work/found" ||
  die "the ledger does not have the callers: $(cat "$work/found")"
denied=$(psql "${database/\/sharewarden\?//acceptance_secured?}" --no-psqlrc -qAt -c "
  SELECT string_agg(principal, ' ' ORDER BY log_index) FROM audit_entry WHERE kind = 'change.denied'") || die "psql failed"
[ "$denied" = 'auditor@example.com' ] || die "wrong principals in change.denied: $denied"
ok "the ledger has the callers, and the refusal of a principal with another role, and nothing of one without a role"

at_admin=$(sed -n 's/.*"admin":"\([0-9.:]*\)".*/\1/p' "$work/secured.err" | head -n 1)
python3 -c 'import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=10).read().decode())' \
  "http://$at_admin/metrics" >"$work/metrics" || die "cannot read the metrics of the secured service"
for reason in certificate_expired certificate_issuer token_expired token_audience token_algorithm token_signature missing contradicting \
  unbound_principal; do
  grep -q "^sharewarden_auth_refused_total{.*reason=\"$reason\"" "$work/metrics" || die "refusals for $reason are not counted"
done
ok "refusals are counted by reason"

# sharewarden's own client, with each kind of credential.
at=(--server "https://localhost:$port" --tls-ca "$work/secured/ca.pem")
workload=(--tls-certificate "$work/secured/workload.pem" --tls-key "$work/secured/workload.key")
auditor=(--token-file "$work/secured/auditor.token")
"$program" list "${at[@]}" "${workload[@]}" -o csv >"$work/answer" || die "sharewarden list with a certificate failed"
[ "$(wc -l <"$work/answer")" = 3 ] || die "not two permissions: $(cat "$work/answer")"
"$program" audit list "${at[@]}" "${auditor[@]}" >"$work/answer" || die "sharewarden audit list with a token failed"
SHAREWARDEN_SERVER=${at[1]} SHAREWARDEN_TLS_CA=${at[3]} SHAREWARDEN_TOKEN_FILE=${auditor[1]} \
  "$program" audit summary >"$work/answer" || die "sharewarden audit summary with credentials from the environment failed"
until "$program" audit verify "${at[@]}" "${auditor[@]}" --account 111122223333 --key "$vkey" >"$work/answer" 2>"$work/verify.err"; do
  grep -q 'covers' "$work/verify.err" || die "sharewarden audit verify with a token failed"
  sleep 0.2
done
for refused in "list ${at[*]}" "list ${at[*]} --token-file $work/secured/bad-hmac.token" "list --server https://localhost:$port" \
  "audit export ${at[*]} ${workload[*]} --account 111122223333 --to $work/export"; do
  # shellcheck disable=SC2086
  ! "$program" $refused >"$work/answer" 2>"$work/refused.err" || die "sharewarden $refused was not refused"
done
"$program" health "${at[@]}" >"$work/answer" || die "sharewarden health over TLS failed"
ok "sharewarden's own client speaks TLS, mTLS and JWT, and verifies the ledger through them"

grep -q 'the certificates of server.tls have changed' "$work/secured.err" && die "the service reloaded certificates that had not changed"
python3 "$here/credentials.py" "$work/secured" || die "credentials.py failed the second time"
wait_for secured 'the certificates of server.tls have changed'
"$program" list "${at[@]}" "${workload[@]}" >"$work/answer" || die "sharewarden list with new certificates failed"
ok "new certificates are used without a restart"

stop secured TERM
! grep -E '"level":"ERROR"' "$work/secured.err" | grep -v 'cannot be used: the old certificates' || die "serve logged errors"
for secret in "$work"/secured/*.token; do
  # The part after the last dot is the secret part of a token.
  signature=$(sed 's/.*\.//' "$secret")
  [ -z "$signature" ] || ! grep -F -- "$signature" "$work/secured.err" || die "the log contains a token"
done
ok "serve with TLS stops at SIGTERM and has logged no token"
