-- expect: trigger-on-an-existing-table
UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);
CREATE TRIGGER change_is_known BEFORE INSERT ON change FOR EACH ROW EXECUTE FUNCTION refuse_rewriting_history();
