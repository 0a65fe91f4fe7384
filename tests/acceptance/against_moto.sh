# A grant and a revoke with moto, an AWS stand-in by other authors. Sourced by run while `dev` serves. It uses the
# Postgres of `dev`, with a separate database.
# shellcheck shell=bash disable=SC2154

recipient=210987654321
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any

start moto moto_server -H 127.0.0.1 -p 0
wait_for moto 'Running on http://'
moto=$(grep -hoE 'http://127.0.0.1:[0-9]+' "$work/moto.out" "$work/moto.err" | head -n 1)
image=$(python3 "$here/moto_image.py" "$moto" eu-central-1) || die "moto did not create an image"

openssl genpkey -algorithm ed25519 -out "$work/moto-key.pem" 2>/dev/null || die "openssl failed to make a key"

cat >"$work/moto.toml" <<TOML
server.listen = "127.0.0.1:0"
database.url = "${database/\/sharewarden\?//acceptance_moto?}"
auth.modes = ["trusted-header"]
roles = [{ principal = "*", roles = ["viewer", "operator", "auditor"] }]
aws.endpoint_url = "$moto"
aws.sts_endpoint_url = "$moto"
checkpoint.name = "sharewarden.test"
checkpoint.key_file = "$work/moto-key.pem"

[[accounts]]
id = "${image%%/*}"
regions = ["eu-central-1"]
share_with = "anyone"
TOML

"$program" migrate --config "$work/moto.toml" 2>"$work/migrate.err" || die "sharewarden migrate failed"
start serve "$program" serve --config "$work/moto.toml"
wait_for serve '"serving"'
server_at_moto=http://$(sed -n 's/.*"serving".*"address":"\([^"]*\)".*/\1/p' "$work/serve.err")

shared_with() { python3 "$here/shared_with.py" "$moto" any "$image" "$@"; }

sharewarden grant "$server_at_moto" "$image" "$recipient" >"$work/answer" || die "sharewarden grant with moto failed"
python3 "$here/accepted.py" "$recipient" SHARED <"$work/answer" >/dev/null || die "wrong answer with moto"
shared_with "$recipient" || die "moto has no share after the grant"
sharewarden revoke "$server_at_moto" "$image" "$recipient" >"$work/answer" || die "sharewarden revoke with moto failed"
python3 "$here/accepted.py" "$recipient" NOT_SHARED <"$work/answer" >/dev/null || die "wrong answer with moto"
shared_with || die "moto still has the share after the revoke"
ok "a grant and a revoke with moto as AWS"

stop serve INT
ok "serve stops at SIGINT"
stop moto INT
