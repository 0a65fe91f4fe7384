-- expect: deletes-rows
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
TRUNCATE ledger_checkpoint;
