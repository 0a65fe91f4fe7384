-- expect: renames
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER TABLE change RENAME CONSTRAINT change_check TO change_check_accounts;
