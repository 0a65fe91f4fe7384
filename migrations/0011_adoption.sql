-- Adoptions: grants of shares that AWS already has, with a cause of their own. And looks at one image that somebody asks for.

-- Older builds cannot read the cause. No adoption is accepted before `sharewarden finalize`. They ignore the new column: a look
-- that is asked for while one of them scans can be late.
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

ALTER TABLE change DROP CONSTRAINT change_cause_check;
ALTER TABLE change ADD CONSTRAINT change_cause_check CHECK (cause IN ('CALLER', 'EXPIRY', 'DRIFT', 'ADOPTION')) NOT VALID;

ALTER TABLE drift_scan ADD COLUMN look_requested_at timestamptz;
COMMENT ON COLUMN drift_scan.look_requested_at IS 'When a look at one image was last asked for, if the lease was not given back since.';
