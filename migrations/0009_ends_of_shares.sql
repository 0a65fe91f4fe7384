-- The basis of each share, and its end.

-- Older builds ignore the new columns, and leave them as they are. No end is accepted and no basis is recorded before
-- `sharewarden finalize`, so that an older build cannot leave an end that is no longer right.
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

ALTER TABLE change
    ADD COLUMN expire_time timestamptz,
    ADD COLUMN previous_basis jsonb;
ALTER TABLE change ADD CONSTRAINT change_previous_basis_check CHECK (jsonb_typeof(previous_basis) = 'object') NOT VALID;
ALTER TABLE change ADD CONSTRAINT change_expire_time_check CHECK (expire_time IS NULL OR action = 'GRANT') NOT VALID;
COMMENT ON COLUMN change.expire_time IS 'When the share of a grant ends. NULL if it has no end.';
COMMENT ON COLUMN change.previous_basis IS 'The grant on which the share stood when the change was accepted, with its end. With the cause EXPIRY: the grant that ends.';

-- A table of a usual size gets the indexes at once: they are empty, and Postgres reads the table once. With a very large one,
-- the migration says what to do first.
ALTER TABLE share_permission
    ADD COLUMN IF NOT EXISTS basis_change_id uuid,
    ADD COLUMN IF NOT EXISTS expire_time timestamptz,
    ADD COLUMN IF NOT EXISTS end_due_at timestamptz;
CREATE OR REPLACE FUNCTION refuse_to_build_on_a_large_table(name text, index_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(index_name) IS NULL AND pg_relation_size(name::regclass) > 512 * 1024 * 1024 THEN
        RAISE EXCEPTION 'the index % of the large table % is missing: add the columns, build it with CREATE INDEX CONCURRENTLY as the changelog says, and migrate again',
            index_name, name USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;
ALTER TABLE share_permission ADD CONSTRAINT share_permission_basis_check
    CHECK (basis_change_id IS NOT NULL OR expire_time IS NULL) NOT VALID;
COMMENT ON COLUMN share_permission.basis_change_id IS 'The grant on which the share stands: the last that succeeded. NULL after a revoke, and if an older build recorded the grant.';
COMMENT ON COLUMN share_permission.expire_time IS 'The end of that grant. NULL if it has none.';
COMMENT ON COLUMN share_permission.end_due_at IS 'From when the end is to be carried out: the end of the newest grant, also while it is in progress; later after a failed try. NULL if no end is set.';

-- Ends to carry out, the earliest first.
SELECT refuse_to_build_on_a_large_table('share_permission', 'share_permission_end_due');
CREATE INDEX IF NOT EXISTS share_permission_end_due ON share_permission (end_due_at) WHERE end_due_at IS NOT NULL;
-- Shares by their end: for lists, views and gauges.
SELECT refuse_to_build_on_a_large_table('share_permission', 'share_permission_expire_time');
CREATE INDEX IF NOT EXISTS share_permission_expire_time ON share_permission (expire_time, account_id, region, image_id, shared_account_id)
    WHERE expire_time IS NOT NULL;

CREATE VIEW reporting.expiring_shares AS
    SELECT p.account_id, p.region, p.image_id, p.shared_account_id, p.expire_time, p.basis_change_id, c.principal, c.reason, c.ticket
    FROM share_permission AS p
    LEFT JOIN change AS c ON c.account_id = p.account_id AND c.change_id = p.basis_change_id
    WHERE p.expire_time IS NOT NULL AND p.applied IS DISTINCT FROM 'NOT_SHARED';
COMMENT ON VIEW reporting.expiring_shares IS 'Shares with an end. Filter by expire_time. One whose end has passed is being revoked, or its revoke failed.';
COMMENT ON COLUMN reporting.expiring_shares.basis_change_id IS 'The grant on which the share stands. Its principal, reason and ticket follow.';
GRANT SELECT ON reporting.expiring_shares TO sharewarden_writer, sharewarden_reader;
