-- expect: unknown-statement
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
CREATE TABLE change_by_day AS SELECT created_at::date AS day, count(*) FROM change GROUP BY 1;
