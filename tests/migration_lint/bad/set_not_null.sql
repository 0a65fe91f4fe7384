-- expect: alters-an-existing-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ALTER COLUMN ticket SET NOT NULL;
