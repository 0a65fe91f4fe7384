-- expect: ban-drop-default
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE ledger ALTER COLUMN version DROP DEFAULT;
