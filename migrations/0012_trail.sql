-- CloudTrail: the calls to AWS that somebody made past the service.

-- Older builds ignore the new tables. No event is recorded before `sharewarden finalize`: an older build does not know the kind.
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

CREATE TABLE drift_trail (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    complete_until timestamptz,
    next_round_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    lease_owner uuid,
    lease_expires_at timestamptz,
    error_code text CHECK (length(error_code) BETWEEN 1 AND 128),
    failed_at timestamptz,
    checked_until timestamptz,
    calls_without_event bigint NOT NULL DEFAULT 0 CHECK (calls_without_event >= 0),
    PRIMARY KEY (account_id, region),
    CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((error_code IS NULL) = (failed_at IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE drift_trail IS 'How far CloudTrail was read, for each account and Region.';
COMMENT ON COLUMN drift_trail.complete_until IS 'Until when the events were read completely. NULL before the first time, which goes back 90 days.';
COMMENT ON COLUMN drift_trail.next_round_at IS 'When a worker reads next.';
COMMENT ON COLUMN drift_trail.lease_owner IS 'The replica that reads until lease_expires_at. It saves work and guards nothing.';
COMMENT ON COLUMN drift_trail.error_code IS 'Why CloudTrail is not read, if it is not: the code of AWS.';
COMMENT ON COLUMN drift_trail.checked_until IS 'The calls of the service that AWS accepted were looked for in CloudTrail, for changes that ended before this time.';
COMMENT ON COLUMN drift_trail.calls_without_event IS 'How many of these calls CloudTrail did not have a day later, since the first check.';

CREATE TABLE drift_event (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    event_id uuid NOT NULL,
    image_id text COLLATE "C" NOT NULL CHECK (image_id LIKE 'wsi-%' AND length(image_id) BETWEEN 13 AND 67 AND substr(image_id, 5) !~ '[^0-9a-z]'),
    shared_account_id text COLLATE "C" NOT NULL CHECK (length(shared_account_id) = 12 AND shared_account_id !~ '[^0-9]'),
    access text NOT NULL CHECK (access IN ('SHARED', 'NOT_SHARED')),
    event_time timestamptz NOT NULL,
    principal_arn text CHECK (length(principal_arn) BETWEEN 1 AND 1024),
    source_ip text CHECK (length(source_ip) BETWEEN 1 AND 256),
    user_agent text CHECK (length(user_agent) BETWEEN 1 AND 512),
    log_index bigint NOT NULL CHECK (log_index >= 0),
    PRIMARY KEY (account_id, region, event_id),
    CHECK (shared_account_id <> account_id)
);
COMMENT ON TABLE drift_event IS 'The calls to AWS that somebody made past the service. Each is in the ledger too, in the same commit.';
COMMENT ON COLUMN drift_event.access IS 'What the call asked for.';
COMMENT ON COLUMN drift_event.event_time IS 'The time of the call at AWS, in seconds.';
COMMENT ON COLUMN drift_event.principal_arn IS 'Who made it. From here on, NULL if CloudTrail does not say.';
COMMENT ON COLUMN drift_event.log_index IS 'The index of its drift.observed entry.';
-- The newest call that made a difference.
CREATE INDEX drift_event_permission ON drift_event (account_id, region, image_id, shared_account_id, access, event_time);

-- The call that made each difference: the last one before it was found, and not before the ledger's last change of the share. A
-- minute is for the clocks, and for a call that came while the service still recorded its own.
CREATE VIEW drift_finding_event AS
    SELECT finding.account_id, finding.region, finding.image_id, finding.shared_account_id, event.event_id, event.event_time,
        event.principal_arn, event.source_ip, event.user_agent
    FROM drift_finding AS finding CROSS JOIN LATERAL (
        SELECT * FROM drift_event AS event
        WHERE (event.account_id, event.region, event.image_id, event.shared_account_id)
                = (finding.account_id, finding.region, finding.image_id, finding.shared_account_id)
            AND event.access = CASE finding.difference WHEN 'UNRECORDED_SHARE' THEN 'SHARED' ELSE 'NOT_SHARED' END
            AND event.event_time <= finding.found_at
            AND event.event_time >= coalesce((
                SELECT max(changed_at) FROM share_interval AS share
                CROSS JOIN LATERAL (VALUES (start_time), (end_time)) AS change (changed_at)
                WHERE (share.account_id, share.region, share.image_id, share.shared_account_id)
                        = (finding.account_id, finding.region, finding.image_id, finding.shared_account_id)
                    AND changed_at <= finding.found_at
            ) - interval '1 minute', '-infinity')
        ORDER BY event.event_time DESC, event.log_index DESC LIMIT 1
    ) AS event;
COMMENT ON VIEW drift_finding_event IS 'The event of CloudTrail that made each finding, if there is one.';

CREATE OR REPLACE VIEW reporting.drift_findings AS
    SELECT finding.account_id, finding.region, finding.image_id, finding.shared_account_id, finding.difference,
        finding.first_seen_at, finding.found_at, finding.found_index, finding.resolution, finding.resolved_at,
        finding.resolved_index, finding.resolved_by_change_id, event.event_id, event.event_time, event.principal_arn,
        event.source_ip, event.user_agent
    FROM drift_finding AS finding LEFT JOIN drift_finding_event AS event
        USING (account_id, region, image_id, shared_account_id);
COMMENT ON COLUMN reporting.drift_findings.event_id IS 'CloudTrail''s id of the call that made the difference. NULL if CloudTrail has none, or was not read so far yet.';
COMMENT ON COLUMN reporting.drift_findings.principal_arn IS 'Who made the call.';

CREATE VIEW reporting.drift_observed AS
    SELECT account_id, region, image_id, shared_account_id, access, event_time, principal_arn, source_ip, user_agent, event_id, log_index
    FROM drift_event;
COMMENT ON VIEW reporting.drift_observed IS 'The calls to AWS that somebody made past the service, according to CloudTrail. A later call may have undone one.';
COMMENT ON COLUMN reporting.drift_observed.access IS 'What the call asked for: SHARED or NOT_SHARED.';
COMMENT ON COLUMN reporting.drift_observed.log_index IS 'The index of its drift.observed entry.';

CREATE OR REPLACE VIEW reporting.drift_scans AS
    SELECT scan.account_id, scan.region, scan.completed_at, scan.completed_started_at, scan.started_at, scan.error_code,
        scan.failed_at, trail.complete_until AS trail_complete_until, trail.error_code AS trail_error_code
    FROM drift_scan AS scan LEFT JOIN drift_trail AS trail USING (account_id, region);
COMMENT ON COLUMN reporting.drift_scans.trail_complete_until IS 'Until when the calls of others were read from CloudTrail completely.';
COMMENT ON COLUMN reporting.drift_scans.trail_error_code IS 'Why CloudTrail is not read, if it is not.';

GRANT SELECT, INSERT, UPDATE ON drift_trail TO sharewarden_writer;
GRANT SELECT, INSERT ON drift_event TO sharewarden_writer;
GRANT SELECT ON drift_finding_event TO sharewarden_writer;
GRANT SELECT ON reporting.drift_observed TO sharewarden_writer, sharewarden_reader;
