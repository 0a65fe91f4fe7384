# Runs the commands of docker/compose.yaml on this machine: roles, migration, simulator, service. Sourced by run while
# `dev` serves. It uses the Postgres of `dev`, with a separate database. The scripts after this one use the service.
# shellcheck shell=bash disable=SC2154

compose=$work/compose
mkdir "$compose"

# The database URL that `dev` prints, with another name in place of NAME.
of_dev() { printf '%s' "${database/\/sharewarden\?//$1?}"; }
socket=$(python3 -c 'import sys, urllib.parse as u; print(u.parse_qs(u.urlsplit(sys.argv[1]).query)["host"][0])' "$database")
port=$(python3 -c 'import sys, urllib.parse as u; print(u.urlsplit(sys.argv[1]).port)' "$database")

# as_role ROLE NAME: the URL of a database for a role.
as_role() { printf 'postgres://%s@localhost:%s/%s?host=%s&sslmode=disable' "$1" "$port" "$2" "${socket//\//%2F}"; }

# words_of SERVICE: puts the command of its container into the array `words`. Only paths and host names differ here.
words_of() {
  mapfile -d '' -t words < <(python3 "$here/compose_command.py" "$1" PROGRAM "$program" \
    /etc/sharewarden/ "$compose/" 0.0.0.0:7480 127.0.0.1:0 \
    'postgres://sharewarden_owner:sharewarden-owner@postgres/sharewarden' "$(as_role sharewarden_owner acceptance_compose)" \
    'postgres://sharewarden_server:sharewarden-writer@postgres/sharewarden' "$(as_role sharewarden_server acceptance_compose)" \
    http://127.0.0.1:7443 "${service:-http://127.0.0.1:7443}")
  [ "${#words[@]}" -gt 1 ] || die "compose.yaml has no $1"
}

POSTGRES_USER=sharewarden PGHOST=$socket PGPORT=$port OWNER_PASSWORD=one WRITER_PASSWORD=two READER_PASSWORD=three \
  ROLES_SQL=docs/roles.sql docker/postgres-roles.sh -v database=acceptance_compose || die "docker/postgres-roles.sh failed"

words_of simulator
start compose-simulator env "${words[@]}"
wait_for compose-simulator 'simulating'
simulated=$(grep -oE 'http://127.0.0.1:[0-9]+' "$work/compose-simulator.err")

sed -e "s#/etc/sharewarden/#$compose/#; s#http://simulator:7480#$simulated#; s#\"0.0.0.0:9464\"#\"127.0.0.1:0\"#; s#\"127.0.0.1:7443\"#\"127.0.0.1:0\"#" \
  docker/sharewarden.toml >"$compose/sharewarden.toml"
openssl genpkey -algorithm ed25519 -out "$compose/checkpoint-key.pem" 2>/dev/null || die "openssl failed to make a key"

words_of migrate
env "${words[@]}" 2>"$work/compose-migrate.err" || die "the command of the container migrate failed"
words_of sharewarden
start compose-sharewarden env "${words[@]}"
wait_for compose-sharewarden '"serving"'
# listens_at FIELD: an address from the log.
listens_at() { sed -n "s/.*\"$1\":\"\([0-9.:]*\)\".*/\1/p" "$work/compose-sharewarden.err" | head -n 1; }
service=http://$(listens_at address) admin=http://$(listens_at admin)
[ "$admin" != http:// ] || die "the log has no address of the admin port"
ok "the commands of docker/compose.yaml run: roles, migration, simulator, service"

words_of health
env "${words[@]}" >"$work/answer" || die "the health check of the image failed: $(cat "$work/answer")"
ok "the health check of the image prints $(cat "$work/answer")"

"$program" --server "$service" --principal compose list >/dev/null || die "sharewarden list in the container failed"
sharewarden grant "$service" 111122223333/eu-central-1/wsi-basewin11 210987654321 >"$work/answer" || die "a grant in the container failed"
sharewarden revoke "$service" 111122223333/eu-central-1/wsi-basewin11 210987654321 >/dev/null || die "a revoke in the container failed"
status=0
sharewarden grant "$service" 444455556666/eu-central-1/wsi-engineer01 999988887777 >/dev/null 2>&1 || status=$?
[ "$status" != 0 ] || die "a grant that the policy forbids was accepted"
