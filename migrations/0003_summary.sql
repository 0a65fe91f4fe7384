-- Tables derived from the entries, so that queries need not read the whole history. The intervals are written in the
-- commit that adds the entries, the counts soon after it. Most columns have no CHECK: the values come from checked
-- entries, and Postgres would prepare each CHECK again per statement and partition.

-- The time spans in which a share was in effect, from the change.succeeded entry of the grant to that of the revoke.
CREATE TABLE share_interval (
    account_id text COLLATE "C" NOT NULL,
    region text COLLATE "C" NOT NULL,
    image_id text COLLATE "C" NOT NULL,
    shared_account_id text COLLATE "C" NOT NULL,
    start_index bigint NOT NULL,
    start_time timestamptz NOT NULL,
    end_index bigint CHECK (end_index > start_index),
    end_time timestamptz CHECK (end_time >= start_time),
    PRIMARY KEY (account_id, region, image_id, shared_account_id, start_index),
    CHECK ((end_index IS NULL) = (end_time IS NULL))
);
COMMENT ON TABLE share_interval IS 'When which image was shared with whom. Open while the share is in effect.';
CREATE UNIQUE INDEX share_interval_open ON share_interval (account_id, region, image_id, shared_account_id)
    WHERE end_index IS NULL;
CREATE INDEX share_interval_recipient ON share_interval (shared_account_id, account_id, region, image_id, start_index);
CREATE INDEX share_interval_image ON share_interval (image_id, account_id, region, shared_account_id, start_index);

-- The number of entries by hour, day and month (UTC). A worker counts entries some seconds after their commit. Queries
-- add the entries that are not counted yet (`audit_entry_uncounted`). An empty Region or action means an entry without
-- one.
CREATE TABLE audit_rollup (
    account_id text COLLATE "C" NOT NULL,
    bucket text COLLATE "C" NOT NULL,
    start_time timestamptz NOT NULL,
    region text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (account_id, bucket, start_time, region, action, kind)
) PARTITION BY LIST (bucket);
COMMENT ON TABLE audit_rollup IS 'Counts of audit entries by kind, up to audit_summary_progress.';
CREATE TABLE audit_rollup_hour PARTITION OF audit_rollup FOR VALUES IN ('HOUR') WITH (fillfactor = 70);
CREATE TABLE audit_rollup_day PARTITION OF audit_rollup FOR VALUES IN ('DAY') WITH (fillfactor = 70);
CREATE TABLE audit_rollup_month PARTITION OF audit_rollup FOR VALUES IN ('MONTH') WITH (fillfactor = 70);
-- No index has the count, so that an update is a heap-only tuple (HOT) update.
CREATE INDEX audit_rollup_time ON audit_rollup (start_time);

-- The number of requests (entries with is_ranked) by day and month (UTC), per ledger and over all ledgers. Written
-- together with the rollups.
CREATE TABLE audit_ranking (
    account_id text COLLATE "C" NOT NULL,
    bucket text COLLATE "C" NOT NULL,
    start_time timestamptz NOT NULL,
    ranking text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (account_id, bucket, ranking, start_time, value)
) PARTITION BY LIST (bucket);
COMMENT ON TABLE audit_ranking IS 'Counts of requests by principal, image and shared account, up to audit_summary_progress.';
CREATE TABLE audit_ranking_day PARTITION OF audit_ranking FOR VALUES IN ('DAY') WITH (fillfactor = 70);
CREATE TABLE audit_ranking_month PARTITION OF audit_ranking FOR VALUES IN ('MONTH') WITH (fillfactor = 70);

CREATE TABLE audit_ranking_total (
    bucket text COLLATE "C" NOT NULL,
    start_time timestamptz NOT NULL,
    ranking text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (bucket, ranking, start_time, value)
) WITH (fillfactor = 70);
COMMENT ON TABLE audit_ranking_total IS 'The counts of audit_ranking, summed over all accounts.';

CREATE TABLE audit_summary_progress (
    account_id text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE audit_summary_progress IS 'How many entries of each ledger are in the rollups and the rankings; no later entry was recorded before recorded_at.';

-- The leases of workers that run on one replica at a time. A migration inserts the row of a new worker.
CREATE TABLE worker_lease (
    worker text COLLATE "C" PRIMARY KEY,
    owner uuid,
    epoch bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    expires_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 70);
COMMENT ON TABLE worker_lease IS 'Workers that run on one replica at a time, and the replica that runs them until expires_at.';
COMMENT ON COLUMN worker_lease.epoch IS 'The number of times that another replica took the lease.';
-- The lock of this row also guards the counts. A writer of counts holds it until its commit, with or without the lease.
INSERT INTO worker_lease (worker) VALUES ('counting');

CREATE VIEW audit_entry_uncounted AS
    SELECT account_id, entry.*
    FROM ledger LEFT JOIN audit_summary_progress AS progress USING (account_id) CROSS JOIN LATERAL (
        SELECT recorded_at, kind, coalesce(action, '') AS action, coalesce(region, '') AS region, is_ranked, principal, image_id,
            shared_account_id
        FROM audit_entry
        WHERE audit_entry.account_id = ledger.account_id AND log_index >= coalesce(progress.size, 0)
            AND recorded_at >= coalesce(progress.recorded_at, '-infinity')
        OFFSET 0 -- keeps Postgres from joining with the whole history
    ) AS entry
    WHERE ledger.size > coalesce(progress.size, 0);
COMMENT ON VIEW audit_entry_uncounted IS 'The entries that are in no rollup and no ranking yet: those of the last seconds.';
