#!/bin/sh
# Creates the database and its roles. The Postgres image runs it once, after it has created its cluster. Arguments are
# passed to psql.
set -eu
exec psql --no-psqlrc --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  -v owner_password="$OWNER_PASSWORD" -v writer_password="$WRITER_PASSWORD" -v reader_password="$READER_PASSWORD" \
  "$@" -f "${ROLES_SQL:-/etc/sharewarden/roles.sql}"
