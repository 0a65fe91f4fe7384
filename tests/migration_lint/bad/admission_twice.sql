-- expect: admission
UPDATE build_admission SET oldest_build = greatest(oldest_build, 5);
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
