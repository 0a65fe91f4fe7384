-- expect: concurrent-index
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
CREATE INDEX CONCURRENTLY change_principal ON change (principal);
