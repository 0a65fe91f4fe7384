-- expect: attaches-a-partition
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
CREATE TABLE audit_entry_2031 PARTITION OF audit_entry FOR VALUES FROM ('2031-01-01') TO ('2032-01-01');
