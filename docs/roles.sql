-- Creates the database and its roles, so that the server cannot rewrite the history. Run it with psql, connected to any
-- database as a superuser (or as a role with CREATEROLE and CREATEDB). It can run again, and then sets new passwords:
--
--   psql -h HOST -U postgres -v owner_password=... -v writer_password=... -v reader_password=... -f docs/roles.sql postgres
--
--   sharewarden_owner      owns the database: for `sharewarden migrate` and `sharewarden audit archive`
--   sharewarden_server     adds to the history and cannot change it: for `sharewarden serve`
--   sharewarden_dashboard  reads the views of the schema `reporting`, and nothing else
--
-- The database is called `sharewarden`; `-v database=NAME` gives it another name. Passwords given here are visible in the list of
-- processes while psql runs, and in the server's log if it logs such statements.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
\if :{?database}
\else
    \set database sharewarden
\endif

-- The groups that get rights from the migrations, and one login for each purpose.
SELECT format('CREATE ROLE %I NOLOGIN', name)
    FROM unnest(ARRAY['sharewarden_writer', 'sharewarden_reader']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('CREATE ROLE %I', name)
    FROM unnest(ARRAY['sharewarden_owner', 'sharewarden_server', 'sharewarden_dashboard']) AS name
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE sharewarden_owner LOGIN PASSWORD :'owner_password';
ALTER ROLE sharewarden_server LOGIN PASSWORD :'writer_password';
ALTER ROLE sharewarden_dashboard LOGIN PASSWORD :'reader_password';
GRANT sharewarden_writer TO sharewarden_server;
GRANT sharewarden_reader TO sharewarden_dashboard;

-- A role that is not a superuser can create a database for another role only as a member of it.
SELECT format('GRANT sharewarden_owner TO %I', current_user)
    WHERE NOT pg_has_role(current_user, 'sharewarden_owner', 'MEMBER') \gexec
SELECT format('CREATE DATABASE %I OWNER sharewarden_owner ENCODING %L TEMPLATE template0', :'database', 'UTF8')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
ALTER DATABASE :"database" OWNER TO sharewarden_owner;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO sharewarden_writer, sharewarden_reader;

-- Dashboards use the views without the schema's name. Their statements and open transactions are limited: while a transaction is
-- open, Postgres keeps every row version that it might see, and commits get slower.
ALTER ROLE sharewarden_dashboard IN DATABASE :"database" SET search_path = reporting;
ALTER ROLE sharewarden_dashboard IN DATABASE :"database" SET default_transaction_read_only = on;
ALTER ROLE sharewarden_dashboard IN DATABASE :"database" SET statement_timeout = '60s';
ALTER ROLE sharewarden_dashboard IN DATABASE :"database" SET idle_in_transaction_session_timeout = '60s';

-- Only the owner may create objects. (PostgreSQL 14 and older allow it to every role by default, but not to the owner
-- of a database.)
\connect :"database"
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO sharewarden_owner;
