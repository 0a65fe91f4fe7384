-- Unrecorded shares that the service may revoke: an operator confirms a baseline for an account first.

-- Older builds ignore the new table. No baseline is confirmed, and nothing is revoked without a caller, before `sharewarden
-- finalize`.
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

CREATE TABLE drift_baseline (
    account_id text COLLATE "C" PRIMARY KEY CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    log_index bigint NOT NULL CHECK (log_index >= 0),
    confirmed_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    system_identifier bigint NOT NULL,
    timeline text COLLATE "C" NOT NULL CHECK (length(timeline) = 8),
    table_oid bigint NOT NULL
);
COMMENT ON TABLE drift_baseline IS 'The accounts in which unrecorded shares may be revoked, each since an operator confirmed a
baseline.'; COMMENT ON COLUMN drift_baseline.log_index IS 'The index of its drift.baseline entry. What was found before is left
to people.'; COMMENT ON COLUMN drift_baseline.system_identifier IS 'The database in which it was confirmed (pg_control_system).
In a copy of the database it is not in force.'; COMMENT ON COLUMN drift_baseline.timeline IS 'The timeline of the database (the
begin of pg_walfile_name). After a restore or a failover the baseline is not in force.';
COMMENT ON COLUMN drift_baseline.table_oid IS 'The oid of this table. A dump that is restored makes another table, also in the same database.';

CREATE VIEW reporting.drift_baselines AS
    SELECT account_id, confirmed_at, principal, log_index FROM drift_baseline;
COMMENT ON VIEW reporting.drift_baselines IS 'The accounts for which an operator confirmed a baseline of drift. After a restore
or a failover it must be confirmed again.'; COMMENT ON COLUMN reporting.drift_baselines.log_index IS 'The index of its
drift.baseline entry, which has the reason.';

GRANT SELECT, INSERT, UPDATE, DELETE ON drift_baseline TO sharewarden_writer;
GRANT SELECT ON reporting.drift_baselines TO sharewarden_writer, sharewarden_reader;
