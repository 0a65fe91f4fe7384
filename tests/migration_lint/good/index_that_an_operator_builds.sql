UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

-- An installation with few rows gets the index at once. With many, the migration says what to run first.
CREATE OR REPLACE FUNCTION refuse_to_build_on_a_large_table(name text, index_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(index_name) IS NULL AND pg_relation_size(name::regclass) > 64 * 1024 * 1024 THEN
        RAISE EXCEPTION 'the index % of the large table % is missing: build it with CREATE INDEX CONCURRENTLY as the changelog says, and migrate again',
            index_name, name USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END
$$;
SELECT refuse_to_build_on_a_large_table('change', 'change_principal');
CREATE INDEX IF NOT EXISTS change_principal ON change (principal);
