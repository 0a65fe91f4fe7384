-- expect: adding-required-field
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ADD COLUMN origin text NOT NULL;
