-- expect: foreign-key-of-a-partitioned-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE audit_entry ADD CONSTRAINT audit_entry_account_fkey FOREIGN KEY (account_id) REFERENCES ledger (account_id) NOT VALID;
