-- expect: alters-an-existing-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ADD CONSTRAINT change_region_check CHECK (region <> '') NOT VALID;
ALTER TABLE change VALIDATE CONSTRAINT change_region_check;
