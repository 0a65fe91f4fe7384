-- The ledgers and their heads, for one Postgres with a set of accounts. Every primary key starts with the account, except
-- those of `audit_ranking_total` and `worker_lease`, and no foreign key crosses accounts: an account's rows can move to the
-- Postgres of another set. A CHECK on a pattern tests the length and the absence of other characters: to match the whole
-- pattern takes Postgres three to twelve times as long.

CREATE TABLE ledger (
    account_id text COLLATE "C" PRIMARY KEY CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    size bigint NOT NULL CHECK (size >= 0),
    frontier bytea NOT NULL CHECK (octet_length(frontier) = 32 * bit_count(size::bit(64))),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    last_recorded_at timestamptz NOT NULL,
    version bigint NOT NULL DEFAULT 0 CHECK (version >= 0)
);
COMMENT ON TABLE ledger IS 'The head of each account''s ledger. Its lock and its version serialize all writes to the account.';
COMMENT ON COLUMN ledger.version IS 'The number of commits that changed anything of the account, also those without an entry.';
COMMENT ON COLUMN ledger.frontier IS 'The roots of the perfect subtrees of the Merkle tree (RFC 6962), the largest first.';
COMMENT ON COLUMN ledger.root IS 'The Merkle tree hash (RFC 6962) of the account''s entries.';

-- The entries, partitioned by the month of `recorded_at`. A new kind needs no migration. Uniqueness is enforced within
-- a partition (see `finish_audit_partition`). Across months the head's lock and the change's state ensure it, and the
-- tree reveals a violation.
CREATE TABLE audit_entry (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    log_index bigint NOT NULL CHECK (log_index >= 0),
    recorded_at timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 3 AND 64 AND kind !~ '[^._a-z]'),
    action text COLLATE "C",
    cause text COLLATE "C",
    change_id uuid,
    request_id uuid,
    principal text COLLATE "C" CHECK (length(principal) BETWEEN 1 AND 256),
    reason text CHECK (length(reason) BETWEEN 1 AND 1024),
    ticket text CHECK (length(ticket) BETWEEN 1 AND 128),
    region text COLLATE "C" CHECK (length(region) BETWEEN 1 AND 31 AND region !~ '[^-0-9a-z]'),
    image_id text COLLATE "C" CHECK (image_id LIKE 'wsi-%' AND length(image_id) BETWEEN 13 AND 67 AND substr(image_id, 5) !~ '[^0-9a-z]'),
    shared_account_id text COLLATE "C" CHECK (length(shared_account_id) = 12 AND shared_account_id !~ '[^0-9]'),
    generation bigint CHECK (generation > 0),
    aws_request_id text COLLATE "C",
    error_reason text COLLATE "C",
    is_ranked boolean NOT NULL,
    share_effect text COLLATE "C" CHECK (share_effect IN ('BEGINS', 'ENDS')),
    once text COLLATE "C",
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    entry text NOT NULL,
    CHECK (shared_account_id <> account_id),
    CHECK (share_effect IS NULL OR (region, image_id, shared_account_id) IS NOT NULL),
    CHECK (kind NOT IN ('change.requested', 'change.denied', 'change.joined', 'change.succeeded', 'change.failed', 'change.superseded')
        OR ((action, cause, request_id, principal, reason, region, image_id, shared_account_id) IS NOT NULL
            AND (kind = 'change.denied') = (change_id IS NULL) AND (change_id IS NULL) = (generation IS NULL)
            AND (kind = 'change.failed') = (error_reason IS NOT NULL)))
) PARTITION BY RANGE (recorded_at);
COMMENT ON TABLE audit_entry IS 'The entries of the ledgers: append-only, partitioned by month (UTC).';
COMMENT ON COLUMN audit_entry.entry IS 'The canonical text (RFC 8785) that is hashed.';
COMMENT ON COLUMN audit_entry.kind IS 'What the entry records. An older build may not know it.';
COMMENT ON COLUMN audit_entry.action IS 'From here to error_reason: the member of the body with the same name, or NULL if the body has none.';
COMMENT ON COLUMN audit_entry.aws_request_id IS 'The AWS request id of the last call made for the change.';
COMMENT ON COLUMN audit_entry.is_ranked IS 'The entry counts as a request in rankings. Set by the writer, for builds that do not know the kind.';
COMMENT ON COLUMN audit_entry.share_effect IS 'Whether the entry begins or ends the share that it is about. Set by the writer.';
COMMENT ON COLUMN audit_entry.once IS 'A value that is unique per month: for the change, or for the account if the entry has no change.';

-- Every index ends with (recorded_at, account_id, log_index), the order of pages. The latest month is read first. The
-- index by time alone needs the condition `log_index >= 0`, which is always true. Without it Postgres would choose this
-- index too often: a value can be frequent in a month but rare at the end where the page starts.
CREATE INDEX audit_entry_time ON audit_entry (recorded_at, account_id, log_index) WHERE log_index >= 0;
CREATE INDEX audit_entry_account ON audit_entry (account_id, recorded_at, log_index);
CREATE INDEX audit_entry_region ON audit_entry (region, recorded_at, account_id, log_index);
CREATE INDEX audit_entry_image ON audit_entry (image_id, recorded_at, account_id, log_index);
CREATE INDEX audit_entry_shared_account ON audit_entry (shared_account_id, recorded_at, account_id, log_index);
CREATE INDEX audit_entry_principal ON audit_entry (principal, recorded_at, account_id, log_index);
CREATE INDEX audit_entry_request ON audit_entry (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX audit_entry_aws_request ON audit_entry (aws_request_id) WHERE aws_request_id IS NOT NULL;
-- The rare kinds, future ones included. An entry of the two frequent kinds is found soon in the order of time.
CREATE INDEX audit_entry_unusual ON audit_entry (kind, recorded_at, account_id, log_index)
    WHERE kind NOT IN ('change.requested', 'change.succeeded');
CREATE INDEX audit_entry_revoke ON audit_entry (recorded_at, account_id, log_index) WHERE action = 'REVOKE';
CREATE EXTENSION IF NOT EXISTS pg_trgm;
-- Upper and lower case are equal by Unicode's root collation, whatever the locale of the database is.
CREATE INDEX audit_entry_text ON audit_entry USING gin (
    lower(reason COLLATE "und-x-icu") gin_trgm_ops, lower(ticket COLLATE "und-x-icu") gin_trgm_ops
);

CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Partitions inherit it. The statement trigger also refuses a statement that matches no row.
CREATE TRIGGER audit_entry_is_append_only
    BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting_history();
CREATE TRIGGER audit_entry_is_not_truncated
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history();

-- Creates what a partition does not inherit.
CREATE FUNCTION finish_audit_partition(partition regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE UNIQUE INDEX ON %s (account_id, log_index)', partition);
    -- A change is requested once, and ends once. This index also finds all entries of a change.
    EXECUTE format('CREATE UNIQUE INDEX ON %s (change_id, once, account_id) WHERE change_id IS NOT NULL', partition);
    EXECUTE format('CREATE UNIQUE INDEX ON %s (account_id, once) WHERE change_id IS NULL AND once IS NOT NULL', partition);
    EXECUTE format('CREATE TRIGGER audit_entry_is_not_truncated BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history()', partition);
END
$$;

-- The default partition: an entry is never refused because its month has no partition.
CREATE TABLE audit_entry_default PARTITION OF audit_entry DEFAULT;
SELECT finish_audit_partition('audit_entry_default');

-- Creates the missing partitions of `months` months from the month of `since` on. Returns how many. The server's role
-- may call it; it runs with the rights of the owner. It locks the default partition for a moment. The lock timeout is
-- short, because readers of the history queue behind it.
CREATE FUNCTION create_audit_partitions(since timestamptz, months integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '2s' AS $$
DECLARE
    first_month timestamp := date_trunc('month', since AT TIME ZONE 'UTC');
    month timestamp;
    range_start timestamptz;
    range_end timestamptz;
    partition text;
    made integer := 0;
BEGIN
    -- Limits the number of tables that one call creates. It does not limit the number of calls.
    IF months NOT BETWEEN 0 AND 36 THEN
        RAISE EXCEPTION 'months must be from 0 to 36, not %', months USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR at IN 0 .. months - 1 LOOP
        month := first_month + make_interval(months => at);
        range_start := month AT TIME ZONE 'UTC';
        range_end := (month + interval '1 month') AT TIME ZONE 'UTC';
        partition := format('audit_entry_%s', to_char(month, 'YYYY_MM'));
        -- An archived month may still be a table of this name.
        CONTINUE WHEN to_regclass(format('%I.%I', current_schema(), partition)) IS NOT NULL;
        -- One caller at a time. Inserts do not wait for this lock.
        LOCK TABLE audit_entry IN SHARE UPDATE EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass(format('%I.%I', current_schema(), partition)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE audit_entry INCLUDING ALL)', partition);
        IF EXISTS (SELECT FROM audit_entry_default WHERE recorded_at >= range_start AND recorded_at < range_end) THEN
            LOCK TABLE audit_entry_default IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('INSERT INTO %I SELECT * FROM audit_entry_default WHERE recorded_at >= $1 AND recorded_at < $2',
                partition) USING range_start, range_end;
            ALTER TABLE audit_entry_default DISABLE TRIGGER USER;
            DELETE FROM audit_entry_default WHERE recorded_at >= range_start AND recorded_at < range_end;
            ALTER TABLE audit_entry_default ENABLE TRIGGER USER;
        END IF;
        EXECUTE format('ALTER TABLE audit_entry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            partition, range_start, range_end);
        PERFORM finish_audit_partition(partition::regclass);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
-- A SECURITY DEFINER function needs a fixed search path. Temporary tables, which any role may create, come last.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION create_audit_partitions SET search_path = %I, pg_temp', current_schema());
END
$$;
SELECT create_audit_partitions(now(), 4);

-- The hashes of the trees: C2SP tlog-tiles, height 8. A tile is written when it is full. The hashes of entries in no
-- full tile are in `audit_entry`, or in a partial tile if the entries are archived.
CREATE TABLE ledger_tile (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    tile_index bigint NOT NULL CHECK (tile_index >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    root bytea CHECK (octet_length(root) = 32),
    PRIMARY KEY (account_id, level, tile_index),
    CHECK ((octet_length(hashes) = 8192) = (root IS NOT NULL))
);
ALTER TABLE ledger_tile ALTER COLUMN hashes SET STORAGE EXTERNAL; -- hashes do not compress
COMMENT ON TABLE ledger_tile IS 'Hash tiles of the ledgers'' trees (C2SP tlog-tiles, height 8).';
COMMENT ON COLUMN ledger_tile.root IS 'The root of a full tile: its hash in the level above.';

CREATE TABLE ledger_checkpoint (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    size bigint NOT NULL CHECK (size > 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL,
    signed_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, size)
);
COMMENT ON TABLE ledger_checkpoint IS 'Signed checkpoints (C2SP tlog-checkpoint) of the ledgers.';

CREATE TABLE audit_archive (
    account_id text COLLATE "C" NOT NULL CHECK (length(account_id) = 12 AND account_id !~ '[^0-9]'),
    start_index bigint NOT NULL CHECK (start_index >= 0),
    end_index bigint NOT NULL CHECK (end_index > start_index),
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL CHECK (end_time >= start_time),
    location text NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    archived_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, start_index)
);
COMMENT ON TABLE audit_archive IS 'Which entries were archived, and where to.';
