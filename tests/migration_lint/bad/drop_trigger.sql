-- expect: drops
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
DROP TRIGGER audit_entry_is_append_only ON audit_entry;
