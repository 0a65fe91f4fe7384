-- expect: index-on-a-large-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
SELECT refuse_to_build_on_a_large_table('request', 'change_principal');
CREATE INDEX IF NOT EXISTS change_principal ON change (principal);
