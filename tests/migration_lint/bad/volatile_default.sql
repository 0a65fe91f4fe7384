-- expect: adding-field-with-default
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ADD COLUMN token uuid DEFAULT gen_random_uuid();
