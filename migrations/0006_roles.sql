-- Roles and their rights. The owner runs the migrations and may do everything. sharewarden_writer is for the server, and
-- sharewarden_reader for dashboards. Both are group roles: grant them to the roles that log in.

DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['sharewarden_writer', 'sharewarden_reader'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION
            -- Another database of this cluster is migrated at the same time.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role % is missing, and % may not create it: run CREATE ROLE % NOLOGIN as a superuser, then migrate again',
                    role, current_user, role USING ERRCODE = 'insufficient_privilege';
        END;
    END LOOP;
    -- The server compares its own migrations with this table.
    IF to_regclass('_sqlx_migrations') IS NOT NULL THEN
        GRANT SELECT ON _sqlx_migrations TO sharewarden_writer;
    END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION create_audit_partitions(timestamptz, integer), finish_audit_partition(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_audit_partitions(timestamptz, integer) TO sharewarden_writer;

GRANT SELECT, INSERT ON audit_entry, ledger_checkpoint, request TO sharewarden_writer;
GRANT UPDATE (note) ON ledger_checkpoint TO sharewarden_writer;
GRANT SELECT, INSERT, UPDATE ON ledger, ledger_tile, change, share_permission, share_interval, audit_rollup, audit_ranking,
    audit_ranking_total, audit_summary_progress TO sharewarden_writer;
GRANT SELECT, UPDATE ON worker_lease TO sharewarden_writer;
GRANT SELECT ON build_admission TO sharewarden_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON replica TO sharewarden_writer;
GRANT SELECT ON audit_archive, audit_entry_default, audit_entry_uncounted TO sharewarden_writer;
GRANT USAGE ON SCHEMA reporting TO sharewarden_writer, sharewarden_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO sharewarden_writer, sharewarden_reader;
