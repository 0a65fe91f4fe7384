# `serve` with docs/sharewarden.full.toml, which sets every option. Only paths and addresses differ. Sourced by run,
# after compose.sh.
# shellcheck shell=bash disable=SC2154

full=$work/full
mkdir "$full" "$full/policies"
cat >"$full/policies/pipelines.cedar" <<'CEDAR'
@id("pipelines")
permit (principal in Sharewarden::PrincipalGroup::"pipelines", action == Sharewarden::Action::"grant", resource)
when { context.caller.credentials.contains("CERTIFICATE") };
CEDAR

# certificate NAME SAN: a key and a certificate of the authority.
certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -addext "subjectAltName=$2" \
    -keyout "$full/$1.key" -out "$full/$1.csr" 2>/dev/null &&
    openssl x509 -req -in "$full/$1.csr" -CA "$full/ca.crt" -CAkey "$full/ca.key" -days 1 -copy_extensions copy -out "$full/$1.crt" 2>/dev/null ||
    die "openssl failed to make a certificate for $1"
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=authority' -days 1 -keyout "$full/ca.key" \
  -out "$full/ca.crt" 2>/dev/null || die "openssl failed to make an authority"
certificate tls 'DNS:localhost,IP:127.0.0.1'
certificate build 'URI:spiffe://example.com/ns/build/sa/share'

start issuer python3 "$here/issuer.py" "$full" "$full/tls.crt" "$full/tls.key"
wait_for issuer 'keys at '
keys=$(sed -n 's/^keys at //p' "$work/issuer.out")

url=$(as_role sharewarden_server acceptance_compose)
sed -e "s#^url = .*#url = \"${url//&/\\&}\"#; s#/etc/sharewarden/tls\.#$full/tls.#; s#/etc/sharewarden/\(clients\|login-ca\).crt#$full/ca.crt#; \
  s#/etc/sharewarden/checkpoint-key.pem#$compose/checkpoint-key.pem#; s#/etc/sharewarden/policies#$full/policies#; s#http://127.0.0.1:7480#$simulated#; \
  s#https://login.example.com/.well-known/jwks.json#$keys#; s#127.0.0.1:7443#127.0.0.1:0#; s#127.0.0.1:9464#127.0.0.1:0#" \
  docs/sharewarden.full.toml >"$full/sharewarden.toml"
AWS_ACCESS_KEY_ID=AKIA444455556666 AWS_SECRET_ACCESS_KEY=any start every-option "$program" serve --config "$full/sharewarden.toml"
wait_for every-option '"serving"'
secured=$(sed -n 's/.*"serving".*"address":"\([^"]*\)".*/\1/p' "$work/every-option.err")
ok "serve accepts a configuration with every option set"

by_certificate() {
  SHAREWARDEN_TLS_CA=$full/ca.crt SHAREWARDEN_TLS_CERTIFICATE=$full/build.crt SHAREWARDEN_TLS_KEY=$full/build.key \
    SHAREWARDEN_SERVER=https://$secured "$@"
}
by_certificate share "$image" 000011112222 'a new account' >"$work/answer" || die "share.py with a certificate failed"
by_certificate "$client" "https://$secured" "$image" 210987654321 'a new account' >>"$work/answer" || die "examples/client with a certificate failed"
[ "$(grep -c ' STATE_SUCCEEDED spiffe://example.com/ns/build/sa/share$' "$work/answer")" = 2 ] || die "wrong answers from the clients: $(cat "$work/answer")"
refused=$(SHAREWARDEN_SERVER=https://$secured SHAREWARDEN_TLS_CA=$full/ca.crt SHAREWARDEN_TOKEN_FILE=$full/token \
  share "$image" 000011112222 'a new account' 2>&1) && die "an auditor could grant"
[[ $refused == *POLICY_DENIED* ]] || die "wrong answer to an auditor that grants: $refused"
"$program" --server "https://$secured" --tls-ca "$full/ca.crt" --token-file "$full/token" audit list --account 111122223333 >"$work/answer" ||
  die "sharewarden audit list with a token failed"
grep -q 'spiffe://example.com/ns/build/sa/share' "$work/answer" || die "the ledger does not have the caller: $(cat "$work/answer")"
ok "clients authenticate with a certificate and with a token, and the ledger has their names"

stop every-option TERM
kill "${pids[issuer]}" && wait "${pids[issuer]}" 2>/dev/null || true
unset "pids[issuer]"
