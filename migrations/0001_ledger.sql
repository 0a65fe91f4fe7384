-- An account's ledger and the head of it. The key of every table starts with the account, so that all of them can be
-- distributed by it; nothing refers across accounts.

CREATE TABLE ledger (
    account_id text COLLATE "C" PRIMARY KEY CHECK (account_id ~ '^[0-9]{12}$'),
    size bigint NOT NULL CHECK (size >= 0),
    frontier bytea NOT NULL CHECK (octet_length(frontier) = 32 * bit_count(size::bit(64))),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    last_recorded_at timestamptz NOT NULL
);
COMMENT ON TABLE ledger IS 'The head of each account''s ledger. Its lock orders everything that happens to the account.';
COMMENT ON COLUMN ledger.frontier IS 'The roots of the perfect subtrees of the Merkle tree (RFC 6962), the largest first.';
COMMENT ON COLUMN ledger.root IS 'The Merkle tree hash (RFC 6962) of the account''s entries.';

CREATE TABLE audit_entry (
    account_id text COLLATE "C" NOT NULL CHECK (account_id ~ '^[0-9]{12}$'),
    log_index bigint NOT NULL CHECK (log_index >= 0),
    recorded_at timestamptz NOT NULL,
    stage text NOT NULL CHECK (stage IN ('REQUESTED', 'DENIED', 'SUCCEEDED', 'FAILED', 'SUPERSEDED')),
    action text NOT NULL CHECK (action IN ('GRANT', 'REVOKE')),
    cause text NOT NULL CHECK (cause IN ('CALLER')),
    change_id uuid,
    request_id uuid NOT NULL,
    principal text NOT NULL CHECK (length(principal) BETWEEN 1 AND 256),
    region text COLLATE "C" NOT NULL CHECK (region ~ '^[-0-9a-z]{1,31}$'),
    image_id text COLLATE "C" NOT NULL CHECK (image_id ~ '^wsi-[0-9a-z]{9,63}$'),
    shared_account_id text COLLATE "C" NOT NULL CHECK (shared_account_id ~ '^[0-9]{12}$'),
    generation bigint CHECK (generation > 0),
    aws_request_id text,
    error_reason text,
    leaf_hash bytea NOT NULL CHECK (octet_length(leaf_hash) = 32),
    entry text NOT NULL,
    PRIMARY KEY (account_id, log_index),
    CHECK (shared_account_id <> account_id),
    CHECK ((stage = 'DENIED') = (change_id IS NULL)),
    CHECK ((change_id IS NULL) = (generation IS NULL)),
    CHECK ((stage = 'FAILED') = (error_reason IS NOT NULL))
);
COMMENT ON TABLE audit_entry IS 'The entries of the ledgers: append-only.';
COMMENT ON COLUMN audit_entry.entry IS 'The canonical text (RFC 8785) that is hashed. The other columns repeat parts of it.';
COMMENT ON COLUMN audit_entry.aws_request_id IS 'The AWS request id of the last call made for the change.';

-- A change is requested once, and ends once.
CREATE UNIQUE INDEX audit_entry_one_request ON audit_entry (account_id, change_id) WHERE stage = 'REQUESTED';
CREATE UNIQUE INDEX audit_entry_one_end ON audit_entry (account_id, change_id)
    WHERE stage IN ('SUCCEEDED', 'FAILED', 'SUPERSEDED');

CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_entry_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history();
