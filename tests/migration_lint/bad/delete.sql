-- expect: deletes-rows
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
DELETE FROM worker_lease WHERE worker = 'counting';
