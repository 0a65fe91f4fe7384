-- Changes, requests and permissions.

CREATE TABLE change (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    change_id uuid NOT NULL,
    request_id uuid NOT NULL,
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    image_id text COLLATE "C" NOT NULL CHECK (image_id LIKE 'wsi-%' AND length(image_id) BETWEEN 13 AND 67 AND substr(image_id, 5) !~ '[^0-9a-z]'),
    shared_account_id text COLLATE "C" NOT NULL CHECK (length(shared_account_id) = 12 AND shared_account_id !~ '[^0-9]'),
    action text NOT NULL CHECK (action IN ('GRANT', 'REVOKE')),
    cause text NOT NULL CHECK (cause IN ('CALLER')),
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1024),
    ticket text CHECK (length(ticket) BETWEEN 1 AND 128),
    trace_id text CHECK (length(trace_id) = 32 AND trace_id !~ '[^0-9a-f]'),
    generation bigint NOT NULL CHECK (generation > 0),
    previous text CHECK (previous IN ('SHARED', 'NOT_SHARED')),
    state text NOT NULL CHECK (state IN ('PENDING', 'SUCCEEDED', 'FAILED', 'SUPERSEDED')),
    attempts jsonb NOT NULL CHECK (jsonb_typeof(attempts) = 'array'),
    failure_reason text,
    failure_code text,
    failure_message text,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (account_id, change_id),
    CHECK (shared_account_id <> account_id),
    CHECK ((state = 'PENDING') = (ended_at IS NULL)),
    CHECK (ended_at >= created_at),
    CHECK ((state = 'FAILED') = (failure_reason IS NOT NULL)),
    CHECK (failure_reason IS NOT NULL OR (failure_code IS NULL AND failure_message IS NULL))
);
-- If most accounts have few changes, Postgres treats account_id as selective, and reads all changes of a large account
-- to find one. This setting tells the planner that account_id alone is not selective.
ALTER TABLE change ALTER account_id SET (n_distinct = 10);
-- Pending changes by age: for operators and for the gauges.
CREATE INDEX change_pending ON change (created_at, account_id, change_id) WHERE state = 'PENDING';
-- The changes of an account by time, in any state.
CREATE INDEX change_time ON change (account_id, created_at, change_id);

-- Accepted requests by idempotency key, with the change that answers each. A replay is recognized by this table, also
-- when one change answers several requests.
CREATE TABLE request (
    account_id text COLLATE "C" NOT NULL,
    request_id uuid NOT NULL,
    change_id uuid NOT NULL,
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    content bytea NOT NULL CHECK (octet_length(content) = 32),
    PRIMARY KEY (account_id, request_id)
);
ALTER TABLE request ALTER account_id SET (n_distinct = 10); -- as in change
COMMENT ON TABLE request IS 'Accepted requests. A request id acts once; a replay gets the change that answered the first request.';
COMMENT ON COLUMN request.content IS 'The SHA-256 of the content of the request. A replay must have the same.';

COMMENT ON TABLE change IS 'Accepted grants and revokes. PENDING, then exactly one final state.';
COMMENT ON COLUMN change.request_id IS 'The caller''s idempotency key; the change id if the caller gave none.';

CREATE TABLE share_permission (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    region text COLLATE "C" NOT NULL CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    image_id text COLLATE "C" NOT NULL CHECK (image_id LIKE 'wsi-%' AND length(image_id) BETWEEN 13 AND 67 AND substr(image_id, 5) !~ '[^0-9a-z]'),
    shared_account_id text COLLATE "C" NOT NULL CHECK (length(shared_account_id) = 12 AND shared_account_id !~ '[^0-9]'),
    desired text CHECK (desired IN ('SHARED', 'NOT_SHARED')),
    applied text CHECK (applied IN ('SHARED', 'NOT_SHARED')),
    generation bigint NOT NULL CHECK (generation > 0),
    current_change_id uuid,
    next_change_id uuid,
    lease_owner uuid,
    lease_epoch bigint NOT NULL CHECK (lease_epoch > 0),
    lease_expires_at timestamptz,
    in_doubt boolean NOT NULL,
    unresolved_call_access text CHECK (unresolved_call_access IN ('SHARED', 'NOT_SHARED')),
    unresolved_call_until timestamptz,
    next_attempt_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    state text NOT NULL GENERATED ALWAYS AS (
        CASE WHEN current_change_id IS NOT NULL THEN 'PENDING' ELSE coalesce(applied, 'UNKNOWN') END
    ) STORED,
    PRIMARY KEY (account_id, region, image_id, shared_account_id),
    FOREIGN KEY (account_id, current_change_id) REFERENCES change (account_id, change_id),
    FOREIGN KEY (account_id, next_change_id) REFERENCES change (account_id, change_id),
    CHECK (shared_account_id <> account_id),
    CHECK (next_change_id IS NULL OR current_change_id IS NOT NULL),
    CHECK (next_change_id <> current_change_id),
    CHECK (current_change_id IS NULL OR desired IS NOT NULL),
    CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
    -- Pending work has either a lease or a time of the next attempt. Without a current change there is neither.
    CHECK ((current_change_id IS NULL) = (lease_expires_at IS NULL AND next_attempt_at IS NULL)),
    CHECK (lease_expires_at IS NULL OR next_attempt_at IS NULL),
    CHECK (current_change_id IS NOT NULL OR NOT in_doubt),
    CHECK ((unresolved_call_access IS NULL) = (unresolved_call_until IS NULL)),
    -- A newer change waits only while a lease is held.
    CHECK (next_change_id IS NULL OR lease_owner IS NOT NULL)
);
COMMENT ON TABLE share_permission IS 'The desired state and the last known state at AWS of each share. This row is also the work item: there is no other queue.';
COMMENT ON COLUMN share_permission.lease_epoch IS 'The number of leases granted, a fencing token: a holder with an older epoch cannot settle.';
COMMENT ON COLUMN share_permission.in_doubt IS 'A call for the current change may have had an effect that was not read back yet. The next attempt starts with the read.';
COMMENT ON COLUMN share_permission.unresolved_call_access IS 'The access that the newest unresolved call asked for. The call may take effect until unresolved_call_until. Kept until AWS was read after that time, or took another call.';

-- Fails the statement that saves a batch if it updated fewer rows than were read although no head has changed. Then
-- rows were changed by hand.
CREATE FUNCTION refuse_half_a_batch() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of the batch has changed since it was read, but its ledger head has not' USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- Due work for recovery, by account and image: the lease has expired, or the next attempt is due.
CREATE INDEX share_permission_due ON share_permission
    (account_id, region, image_id, (coalesce(lease_expires_at, next_attempt_at)))
    WHERE current_change_id IS NOT NULL;

-- All shares with an account, across owners. For auditors.
CREATE INDEX share_permission_recipient ON share_permission (shared_account_id, account_id, region, image_id);

-- Permissions in doubt. Usually empty.
CREATE INDEX share_permission_in_doubt ON share_permission (account_id, current_change_id) WHERE in_doubt;
