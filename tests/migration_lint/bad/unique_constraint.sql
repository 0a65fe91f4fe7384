-- expect: unique-constraint
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change ADD CONSTRAINT change_request_key UNIQUE (account_id, request_id);
