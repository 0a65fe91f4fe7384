-- expect: column-with-a-constraint
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE audit_entry ADD COLUMN origin text CHECK (length(origin) BETWEEN 1 AND 64);
