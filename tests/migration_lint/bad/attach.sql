-- expect: alters-an-existing-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE audit_entry ATTACH PARTITION audit_entry_2031 FOR VALUES FROM ('2031-01-01') TO ('2032-01-01');
