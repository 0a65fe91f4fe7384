-- expect: not-sql
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ADD COLUMN;
