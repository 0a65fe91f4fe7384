-- expect: drops
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
DROP INDEX change_time;
