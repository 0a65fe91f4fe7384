-- expect: writes-a-large-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
UPDATE change SET ticket = 'none' WHERE ticket IS NULL;
