-- expect: ban-drop-function
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
DROP FUNCTION refuse_half_a_batch();
