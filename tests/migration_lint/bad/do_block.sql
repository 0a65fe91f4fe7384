-- expect: opaque
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
DO $$ BEGIN EXECUTE $x$DROP TABLE change$x$; END $$;
