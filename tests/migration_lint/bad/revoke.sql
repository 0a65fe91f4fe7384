-- expect: revokes-a-right
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
REVOKE UPDATE ON worker_lease FROM sharewarden_writer;
