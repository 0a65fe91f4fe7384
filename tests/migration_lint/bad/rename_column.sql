-- expect: renaming-column
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change RENAME COLUMN ticket TO issue;
