-- Drift: what AWS was seen to hold, and where it differs from the ledger.

-- Older builds ignore the new tables. No finding is recorded before `sharewarden finalize`: an older build would leave it open
-- when a change resolves it.
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

CREATE TABLE drift_scan (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    scan_id uuid,
    started_at timestamptz,
    is_requested boolean NOT NULL DEFAULT false,
    requested_at timestamptz,
    completed_scan_id uuid,
    completed_started_at timestamptz,
    completed_at timestamptz,
    next_step_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    lease_owner uuid,
    lease_expires_at timestamptz,
    error_code text CHECK (length(error_code) BETWEEN 1 AND 128),
    failed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (account_id, region),
    CHECK ((scan_id IS NULL) = (started_at IS NULL)),
    CHECK ((completed_scan_id IS NULL) = (completed_at IS NULL) AND (completed_at IS NULL) = (completed_started_at IS NULL)),
    CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
    CHECK ((error_code IS NULL) = (failed_at IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE drift_scan IS 'The comparison of AWS with the ledger, for each account and Region: the scan in progress, and the last complete one.';
COMMENT ON COLUMN drift_scan.scan_id IS 'The scan in progress. NULL between scans.';
COMMENT ON COLUMN drift_scan.is_requested IS 'Somebody asked for the scan in progress, so it is not spread over the interval.';
COMMENT ON COLUMN drift_scan.requested_at IS 'When a scan was last asked for, if it has not begun yet.';
COMMENT ON COLUMN drift_scan.completed_at IS 'When the last complete scan ended: every image, and every page of its permissions. It began at completed_started_at.';
COMMENT ON COLUMN drift_scan.next_step_at IS 'When a worker takes it up again: for the next image, the next scan, or after a failure.';
COMMENT ON COLUMN drift_scan.lease_owner IS 'The replica that scans until lease_expires_at. It saves work and guards nothing.';
COMMENT ON COLUMN drift_scan.error_code IS 'Why the scan does not get on, if it does not. The code of AWS, or NotConfigured.';

CREATE TABLE drift_image (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    image_id text COLLATE "C" NOT NULL CHECK (image_id LIKE 'wsi-%' AND length(image_id) BETWEEN 13 AND 67 AND substr(image_id, 5) !~ '[^0-9a-z]'),
    scan_id uuid NOT NULL,
    next_look_at timestamptz,
    failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    error_code text CHECK (length(error_code) BETWEEN 1 AND 128),
    looked_at timestamptz,
    recipients integer CHECK (recipients >= 0),
    PRIMARY KEY (account_id, region, image_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE drift_image IS 'The images of each account and Region, and when all pages of their permissions were last read.';
COMMENT ON COLUMN drift_image.scan_id IS 'The scan that looks at it, or looked at it last.';
COMMENT ON COLUMN drift_image.next_look_at IS 'When it is looked at next. NULL when it need not be before the next scan.';
COMMENT ON COLUMN drift_image.failures IS 'How often it could not be read in this scan. error_code has the last code of AWS.';
COMMENT ON COLUMN drift_image.looked_at IS 'When it was last read completely, and recipients is the number of accounts that it was then shared with.';
-- The images to look at, the earliest first.
CREATE INDEX drift_image_next ON drift_image (account_id, region, next_look_at) WHERE next_look_at IS NOT NULL;

CREATE TABLE drift_sighting (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    image_id text COLLATE "C" NOT NULL CHECK (image_id LIKE 'wsi-%' AND length(image_id) BETWEEN 13 AND 67 AND substr(image_id, 5) !~ '[^0-9a-z]'),
    shared_account_id text COLLATE "C" NOT NULL CHECK (length(shared_account_id) = 12 AND shared_account_id !~ '[^0-9]'),
    access text NOT NULL CHECK (access IN ('SHARED', 'NOT_SHARED')),
    seen_at timestamptz NOT NULL,
    generation bigint CHECK (generation > 0),
    lease_epoch bigint CHECK (lease_epoch > 0),
    updated_at timestamptz,
    PRIMARY KEY (account_id, region, image_id, shared_account_id),
    CHECK ((generation IS NULL) = (lease_epoch IS NULL) AND (generation IS NULL) = (updated_at IS NULL))
);
COMMENT ON TABLE drift_sighting IS 'What a scan saw once and has not confirmed yet: a difference between AWS and the ledger, or the end of one.';
COMMENT ON COLUMN drift_sighting.access IS 'What AWS showed, first at seen_at.';
COMMENT ON COLUMN drift_sighting.generation IS 'From here on: the permission as it was before AWS was asked. NULL without a permission.';

CREATE TABLE drift_finding (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    image_id text COLLATE "C" NOT NULL CHECK (image_id LIKE 'wsi-%' AND length(image_id) BETWEEN 13 AND 67 AND substr(image_id, 5) !~ '[^0-9a-z]'),
    shared_account_id text COLLATE "C" NOT NULL CHECK (length(shared_account_id) = 12 AND shared_account_id !~ '[^0-9]'),
    difference text NOT NULL CHECK (difference IN ('UNRECORDED_SHARE', 'MISSING_SHARE')),
    found_index bigint NOT NULL CHECK (found_index >= 0),
    first_seen_at timestamptz NOT NULL,
    found_at timestamptz NOT NULL,
    scan_id uuid NOT NULL,
    resolution text CHECK (resolution IN ('ADOPTED', 'REVOKED', 'RESTORED', 'ACCEPTED', 'GONE')),
    resolved_index bigint CHECK (resolved_index > found_index),
    resolved_at timestamptz CHECK (resolved_at >= found_at),
    resolved_by_change_id uuid,
    PRIMARY KEY (account_id, region, image_id, shared_account_id),
    CHECK (shared_account_id <> account_id),
    CHECK ((resolution IS NULL) = (resolved_index IS NULL) AND (resolution IS NULL) = (resolved_at IS NULL)),
    CHECK (resolution IS NOT NULL OR resolved_by_change_id IS NULL)
);
COMMENT ON TABLE drift_finding IS 'The newest confirmed difference between AWS and the ledger of each share. The ledger has all of them.';
COMMENT ON COLUMN drift_finding.difference IS 'UNRECORDED_SHARE: AWS shares the image, and the ledger has no share. MISSING_SHARE: the other way round.';
COMMENT ON COLUMN drift_finding.found_index IS 'The index of its drift.found entry.';
COMMENT ON COLUMN drift_finding.first_seen_at IS 'When AWS first showed it. It was confirmed by a second look before found_at.';
COMMENT ON COLUMN drift_finding.resolution IS 'What became of it. NULL while it is open.';
COMMENT ON COLUMN drift_finding.resolved_index IS 'The index of its drift.resolved entry.';
CREATE INDEX drift_finding_open ON drift_finding (account_id, region, image_id, shared_account_id) WHERE resolution IS NULL;

CREATE VIEW reporting.drift_findings AS
    SELECT account_id, region, image_id, shared_account_id, difference, first_seen_at, found_at, found_index, resolution, resolved_at,
        resolved_index, resolved_by_change_id
    FROM drift_finding;
COMMENT ON VIEW reporting.drift_findings IS 'The newest confirmed difference between AWS and the ledger of each share. Open ones have no resolution.';
COMMENT ON COLUMN reporting.drift_findings.difference IS 'UNRECORDED_SHARE: AWS shares the image, and the ledger has no share. MISSING_SHARE: the other way round.';
COMMENT ON COLUMN reporting.drift_findings.resolution IS 'ADOPTED, REVOKED, RESTORED, ACCEPTED, or GONE: it went away without a change. NULL while it is open.';

CREATE VIEW reporting.drift_scans AS
    SELECT account_id, region, completed_at, completed_started_at, started_at, error_code, failed_at FROM drift_scan;
COMMENT ON VIEW reporting.drift_scans IS 'For each account and Region: when AWS was last compared with the ledger completely, and the scan in progress.';
COMMENT ON COLUMN reporting.drift_scans.completed_at IS 'The end of the last complete scan. NULL if there was none.';
COMMENT ON COLUMN reporting.drift_scans.completed_started_at IS 'Its begin: a share that was made past the service before it was seen.';
COMMENT ON COLUMN reporting.drift_scans.started_at IS 'The begin of the scan in progress. NULL between scans.';
COMMENT ON COLUMN reporting.drift_scans.error_code IS 'Why the scan does not get on, if it does not.';

GRANT SELECT, INSERT, UPDATE, DELETE ON drift_scan, drift_image, drift_sighting TO sharewarden_writer;
GRANT SELECT, INSERT, UPDATE ON drift_finding TO sharewarden_writer;
GRANT SELECT ON reporting.drift_findings, reporting.drift_scans TO sharewarden_writer, sharewarden_reader;
