-- expect: constraint-with-a-scan
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE request ADD CONSTRAINT request_account_fkey FOREIGN KEY (account_id) REFERENCES ledger (account_id);
