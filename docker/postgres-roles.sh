#!/bin/sh
# Run once by the image of Postgres, when it has made its cluster: the database and its roles. What is given on the command line goes on
# to psql.
set -eu
exec psql --no-psqlrc --quiet --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  -v owner_password="$OWNER_PASSWORD" -v writer_password="$WRITER_PASSWORD" -v reader_password="$READER_PASSWORD" \
  "$@" -f "${ROLES_SQL:-/etc/sharewarden/roles.sql}"
