-- expect: admission
UPDATE build_admission SET oldest_build = 6;
