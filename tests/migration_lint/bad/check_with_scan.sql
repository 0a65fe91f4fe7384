-- expect: constraint-with-a-scan
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE audit_entry ADD CONSTRAINT audit_entry_kind_check CHECK (kind <> 'x.y');
