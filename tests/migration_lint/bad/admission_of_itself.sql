-- expect: admission
UPDATE build_admission SET oldest_build = greatest(oldest_build, 7);
ALTER TABLE change ADD COLUMN origin text;
