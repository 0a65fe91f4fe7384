-- expect: column-with-a-constraint
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ADD COLUMN pair text GENERATED ALWAYS AS (region || image_id) STORED;
