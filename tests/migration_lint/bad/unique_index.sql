-- expect: unique-index-on-a-large-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
CREATE UNIQUE INDEX change_by_request ON change (account_id, request_id);
