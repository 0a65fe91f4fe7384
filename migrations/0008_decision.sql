-- The decisions of the policy on changes, and the texts of the policy sets that made them.

-- Older builds ignore the new column and the new table.
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

ALTER TABLE change ADD COLUMN decision jsonb;
ALTER TABLE change ADD CONSTRAINT change_decision_check CHECK (jsonb_typeof(decision) = 'object') NOT VALID;
COMMENT ON COLUMN change.decision IS 'The last decision of the policy: the digest of its set, the policies that decided, the time and the facts. NULL if an older build recorded the change.';

CREATE TABLE policy_set (
    digest text PRIMARY KEY CHECK (digest ~ '^[0-9a-f]{64}$'),
    text text NOT NULL,
    first_used_at timestamptz NOT NULL DEFAULT now(),
    CHECK (encode(sha256(convert_to(text, 'UTF8')), 'hex') = digest)
);
COMMENT ON TABLE policy_set IS 'The text of each policy set that has decided about a change. Rows are kept as long as the history.';
COMMENT ON COLUMN policy_set.digest IS 'The SHA-256 of the text, in hexadecimal. Entries name a set by it.';
COMMENT ON COLUMN policy_set.text IS 'The accounts, groups, policies, schema and time zone, as one line of JSON.';
COMMENT ON COLUMN policy_set.first_used_at IS 'When a replica first stored it, before its first decision.';

GRANT SELECT, INSERT ON policy_set TO sharewarden_writer;
