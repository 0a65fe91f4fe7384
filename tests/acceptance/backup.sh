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

stop compose-sharewarden TERM
stop compose-simulator TERM
ok "the programs of the containers stop at SIGTERM"
