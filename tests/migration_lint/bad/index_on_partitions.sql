-- expect: index-on-a-large-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
CREATE INDEX audit_entry_reason ON audit_entry (error_reason);
