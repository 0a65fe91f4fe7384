-- expect: ban-drop-view
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
DROP VIEW reporting.entries;
