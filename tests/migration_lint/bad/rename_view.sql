-- expect: renames
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
ALTER VIEW reporting.entries RENAME TO history;
