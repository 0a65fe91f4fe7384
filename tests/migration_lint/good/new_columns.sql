UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

-- Neither a scan nor a rewrite: a constant or stable default is stored once.
ALTER TABLE change ADD COLUMN origin text;
ALTER TABLE audit_entry ADD COLUMN origin text COLLATE "C";
ALTER TABLE change ADD COLUMN seen_at timestamptz DEFAULT now();
ALTER TABLE change ADD COLUMN priority smallint NOT NULL DEFAULT 0;
ALTER TABLE change ADD CONSTRAINT change_origin_check CHECK (length(origin) BETWEEN 1 AND 64) NOT VALID;
ALTER TABLE audit_entry ADD CONSTRAINT audit_entry_origin_check CHECK (length(origin) BETWEEN 1 AND 64) NOT VALID;
COMMENT ON COLUMN change.origin IS 'Where the change comes from.';
