UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

ALTER TABLE change DROP CONSTRAINT change_cause_check;
ALTER TABLE change ADD CONSTRAINT change_cause_check CHECK (cause IN ('CALLER', 'EXPIRY')) NOT VALID;
