-- expect: unknown-statement
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
REINDEX TABLE change;
