-- expect: drops-a-key
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change DROP CONSTRAINT change_pkey;
