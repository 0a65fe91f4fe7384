UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

-- A catalogue in the place of a CHECK list.
CREATE TABLE change_cause (
    cause text PRIMARY KEY CHECK (length(cause) BETWEEN 1 AND 32)
);
COMMENT ON TABLE change_cause IS 'Why changes are made.';
INSERT INTO change_cause (cause) VALUES ('CALLER');
ALTER TABLE change DROP CONSTRAINT change_cause_check;
ALTER TABLE change ADD CONSTRAINT change_cause_fkey FOREIGN KEY (cause) REFERENCES change_cause (cause) NOT VALID;
GRANT SELECT ON change_cause TO sharewarden_writer;
