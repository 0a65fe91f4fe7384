-- expect: opaque
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
SELECT finish_audit_partition('audit_entry_default');
