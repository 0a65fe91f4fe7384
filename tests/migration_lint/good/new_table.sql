UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

CREATE TABLE drift (
    account_id text COLLATE "C" NOT NULL REFERENCES ledger (account_id),
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, seen_at)
);
CREATE INDEX drift_time ON drift (seen_at);
CREATE FUNCTION refuse_drift() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER drift_is_kept BEFORE DELETE ON drift FOR EACH ROW EXECUTE FUNCTION refuse_drift();
GRANT SELECT, INSERT ON drift TO sharewarden_writer;
