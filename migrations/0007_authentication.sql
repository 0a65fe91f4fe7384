-- How the caller of a change was authenticated, and the causes of changes that no caller asks for.

-- The builds from 6 on ignore the new column, and neither write nor meet the new causes: a build writes those only after
-- `sharewarden finalize`.
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

ALTER TABLE change ADD COLUMN authentication jsonb;
ALTER TABLE change ADD CONSTRAINT change_authentication_check CHECK (jsonb_typeof(authentication) = 'object') NOT VALID;
COMMENT ON COLUMN change.authentication IS 'How the caller was authenticated: the kinds of its credentials. NULL if an older build recorded the change.';

ALTER TABLE change DROP CONSTRAINT change_cause_check;
ALTER TABLE change ADD CONSTRAINT change_cause_check CHECK (cause IN ('CALLER', 'EXPIRY', 'DRIFT')) NOT VALID;
