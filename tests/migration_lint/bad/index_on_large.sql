-- expect: index-on-a-large-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
CREATE INDEX change_principal ON change (principal);
