-- expect: ban-drop-not-null
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ALTER COLUMN principal DROP NOT NULL;
