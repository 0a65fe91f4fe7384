# PgBouncer in front of Postgres: in session mode all works; in transaction mode the program says what is in front and which
# setting it needs. Sourced by run, after compose.sh.
# shellcheck shell=bash disable=SC2154

pooler_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$work/pooler"
# pooler MODE: starts PgBouncer in this pool mode.
pooler() {
  cat >"$work/pooler/$1.ini" <<INI
[databases]
* = host=$socket port=$port user=sharewarden
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $pooler_port
unix_socket_dir =
auth_type = any
pool_mode = $1
INI
  # It refuses to run as root, and changes to this user itself.
  [ "$(id -u)" != 0 ] || echo 'user = nobody' >>"$work/pooler/$1.ini"
  start "pooler-$1" env LD_LIBRARY_PATH="${POOLER_LIBRARIES:-}" pgbouncer "$work/pooler/$1.ini"
  wait_for "pooler-$1" "listening on 127.0.0.1:$pooler_port"
}
through=postgres://sharewarden@127.0.0.1:$pooler_port/acceptance_pooler?sslmode=disable

psql -q "$(of_dev postgres)" -c 'CREATE DATABASE acceptance_pooler' || die "CREATE DATABASE failed"
pooler session
SHAREWARDEN__DATABASE__URL=$through "$program" migrate --config "$compose/sharewarden.toml" >"$work/pooled" 2>&1 ||
  die "migrate failed through PgBouncer in session mode: $(cat "$work/pooled")"
SHAREWARDEN__DATABASE__URL=$through AWS_ACCESS_KEY_ID=AKIA111122223333 AWS_SECRET_ACCESS_KEY=any \
  start pooled "$program" serve --config "$compose/sharewarden.toml"
wait_for pooled '"serving"'
pooled=http://$(sed -n 's/.*"serving".*"address":"\([^"]*\)".*/\1/p' "$work/pooled.err")
sharewarden grant "$pooled" 111122223333/eu-central-1/wsi-basewin11 210987654321 >"$work/granted" 2>&1 ||
  die "no grant through PgBouncer: $(cat "$work/granted")"
stop pooled TERM
stop pooler-session INT
ok "a grant goes through PgBouncer in session mode"

pooler transaction
! SHAREWARDEN__DATABASE__URL=$through "$program" migrate --config "$compose/sharewarden.toml" >"$work/pooled" 2>&1 ||
  die "migrate is content with PgBouncer in transaction mode"
grep -q 'pool_mode = session' "$work/pooled" || die "migrate does not name the setting: $(cat "$work/pooled")"
stop pooler-transaction INT
ok "PgBouncer in transaction mode is named, with the setting that it needs"
