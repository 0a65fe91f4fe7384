# Backup and restore as in docs/operations.md, then shutdown. Sourced by run, after compose.sh.
# shellcheck shell=bash disable=SC2154

key=$("$program" key show --name sharewarden.example.com --key-file "$compose/checkpoint-key.pem") || die "sharewarden key show failed"
mkdir "$work/checkpoints"
deadline=$((SECONDS + 60))
until "$program" --server "$service" --principal auditor audit verify --all --key "$key" --save-checkpoint "$work/checkpoints" >"$work/verified" 2>&1; do
  [ "$SECONDS" -lt "$deadline" ] || die "audit verify --all failed: $(cat "$work/verified")"
  sleep 0.2
done
pg_dump --format=custom --file="$work/backup.dump" "$(of_dev acceptance_compose)" || die "pg_dump failed"
POSTGRES_USER=sharewarden PGHOST=$socket PGPORT=$port OWNER_PASSWORD=one WRITER_PASSWORD=two READER_PASSWORD=three \
  ROLES_SQL=docs/roles.sql docker/postgres-roles.sh -v database=acceptance_restored || die "roles.sql failed for the restored database"
pg_restore --exit-on-error --dbname="$(of_dev acceptance_restored)" "$work/backup.dump" || die "pg_restore failed"
SHAREWARDEN__DATABASE__URL=$(as_role sharewarden_server acceptance_restored) \
  AWS_ACCESS_KEY_ID=AKIA111122223333 AWS_SECRET_ACCESS_KEY=any \
  start restored "$program" serve --config "$compose/sharewarden.toml"
wait_for restored '"serving"'
restored=http://$(sed -n 's/.*"serving".*"address":"\([^"]*\)".*/\1/p' "$work/restored.err")
"$program" --server "$restored" --principal auditor audit verify --all --key "$key" --against "$work/checkpoints" >"$work/verified" 2>&1 ||
  die "the restored database does not verify: $(cat "$work/verified")"
stop restored TERM
ok "a restored backup serves, and verifies against kept checkpoints"

# The move to a newer major version, as in docs/operations.md.
if [ -n "${NEWER_POSTGRES_BIN:-}" ]; then
  SHAREWARDEN_POSTGRES_BIN=$NEWER_POSTGRES_BIN \
    start newer "$program" dev --ephemeral --listen 127.0.0.1:0 --simulator-listen 127.0.0.1:0
  wait_for newer 'Ctrl-C stops all of it'
  database=$(sed -n 's/^  Postgres  *//p' "$work/newer.out")
  socket=$(python3 -c 'import sys, urllib.parse as u; print(u.parse_qs(u.urlsplit(sys.argv[1]).query)["host"][0])' "$database")
  POSTGRES_USER=sharewarden PGHOST=$socket PGPORT=$port OWNER_PASSWORD=one WRITER_PASSWORD=two READER_PASSWORD=three \
    ROLES_SQL=docs/roles.sql docker/postgres-roles.sh -v database=acceptance_moved || die "roles.sql failed on the newer Postgres"
  pg_restore --exit-on-error --dbname="$(of_dev acceptance_moved)" "$work/backup.dump" || die "pg_restore failed on the newer Postgres"
  SHAREWARDEN__DATABASE__URL=$(as_role sharewarden_server acceptance_moved) \
    AWS_ACCESS_KEY_ID=AKIA111122223333 AWS_SECRET_ACCESS_KEY=any \
    start moved "$program" serve --config "$compose/sharewarden.toml"
  wait_for moved '"serving"'
  moved=http://$(sed -n 's/.*"serving".*"address":"\([^"]*\)".*/\1/p' "$work/moved.err")
  "$program" --server "$moved" --principal auditor audit verify --all --state --key "$key" --against "$work/checkpoints" >"$work/verified" 2>&1 ||
    die "the moved database does not verify: $(cat "$work/verified")"
  stop moved TERM
  stop newer TERM
  ok "a database that was moved to a newer Postgres serves, and verifies against kept checkpoints"
fi

stop compose-sharewarden TERM
stop compose-simulator TERM
ok "the programs of the containers stop at SIGTERM"
