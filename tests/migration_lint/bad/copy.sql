-- expect: writes-a-large-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
INSERT INTO share_interval SELECT * FROM share_interval;
