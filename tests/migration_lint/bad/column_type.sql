-- expect: changing-column-type
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ALTER COLUMN cause TYPE varchar(16);
