-- Views for dashboards. A stable interface: names and columns stay; columns may be added at the end.

CREATE SCHEMA reporting;
COMMENT ON SCHEMA reporting IS 'Views for dashboards. A stable interface: names and columns stay; columns may be added at the end.';

CREATE VIEW reporting.entries AS
    SELECT account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal, reason, ticket, region,
        image_id, shared_account_id, generation, aws_request_id, error_reason, entry
    FROM audit_entry
    WHERE log_index >= 0; -- enables the index audit_entry_time
COMMENT ON VIEW reporting.entries IS 'Every entry of every ledger that is not archived. Filter by recorded_at: this selects the partitions.';
COMMENT ON COLUMN reporting.entries.log_index IS 'The index in the account''s ledger, from 0, without gaps.';
COMMENT ON COLUMN reporting.entries.aws_request_id IS 'The AWS request id of the last call made for the change.';
COMMENT ON COLUMN reporting.entries.kind IS 'What the entry records, such as change.requested. Newer versions add kinds.';
COMMENT ON COLUMN reporting.entries.entry IS 'The canonical JSON text that is hashed; cast it to jsonb for the calls to AWS and the error.';

CREATE VIEW reporting.current_shares AS
    SELECT account_id, region, image_id, shared_account_id, start_time AS shared_since, start_index AS shared_since_log_index
    FROM share_interval WHERE end_index IS NULL;
COMMENT ON VIEW reporting.current_shares IS 'Shares in effect now, according to the ledger.';

CREATE VIEW reporting.daily_totals AS
    SELECT day, account_id, nullif(region, '') AS region, nullif(action, '') AS action, kind, sum(entries)::bigint AS entries
    FROM (
        SELECT (start_time AT TIME ZONE 'UTC')::date AS day, account_id, region, action, kind, count AS entries
        FROM audit_rollup WHERE bucket = 'DAY'
        UNION ALL
        SELECT (recorded_at AT TIME ZONE 'UTC')::date, account_id, region, action, kind, 1 FROM audit_entry_uncounted
    ) AS counted
    GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW reporting.daily_totals IS 'The number of entries by day (UTC). Exact; archived history is included.';

CREATE VIEW reporting.pending_changes AS
    SELECT account_id, change_id, request_id, region, image_id, shared_account_id, action, cause, principal, reason, ticket,
        created_at, jsonb_array_length(attempts) AS attempts
    FROM change WHERE state = 'PENDING';
COMMENT ON VIEW reporting.pending_changes IS 'Changes that were accepted and have not ended.';

CREATE VIEW reporting.archived_history AS
    SELECT account_id, start_index, end_index, start_time, end_time, location, encode(sha256, 'hex') AS sha256, archived_at
    FROM audit_archive;
COMMENT ON VIEW reporting.archived_history IS 'Which entries are in files and no longer in reporting.entries: [start_index, end_index).';
