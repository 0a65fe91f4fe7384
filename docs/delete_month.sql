-- Deletes the remaining texts of a month of history after `sharewarden audit archive`: its reasons, tickets and
-- principals. Run it with psql as the owner, once for each month. A second run changes nothing:
--
--   psql "$OWNER_URL" -v month=2026-01 -f docs/delete_month.sql
--
-- It drops the month's detached table, if `--drop` did not. It removes the texts from the changes that ended in the
-- month and from their requests, and the callers from the month's events of CloudTrail. It deletes the month's rankings of
-- principals. Hashes, checkpoints, counts and intervals stay, so every proof still holds. It does not delete archived files.

\set ON_ERROR_STOP on
BEGIN;
SELECT set_config('sharewarden.month', :'month', true) AS month \gset

DO $$
DECLARE
    month text := current_setting('sharewarden.month');
    starts timestamptz;
    ends timestamptz;
BEGIN
    IF month !~ '^[0-9]{4}-(0[1-9]|1[0-2])$' THEN
        RAISE EXCEPTION 'month must be YYYY-MM, such as 2026-01, not %', month;
    END IF;
    starts := (month || '-01')::timestamp AT TIME ZONE 'UTC';
    ends := ((month || '-01')::timestamp + interval '1 month') AT TIME ZONE 'UTC';
    IF ends > now() OR EXISTS (SELECT FROM audit_entry WHERE recorded_at >= starts AND recorded_at < ends) THEN
        RAISE EXCEPTION '% is not archived: run `sharewarden audit archive` for it first', month;
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I', 'audit_entry_' || replace(month, '-', '_'));

    UPDATE request SET principal = '(deleted)'
    FROM change WHERE change.account_id = request.account_id AND change.change_id = request.change_id
        AND change.ended_at >= starts AND change.ended_at < ends;
    UPDATE change SET principal = '(deleted)', reason = '(deleted)', ticket = NULL, trace_id = NULL, decision = NULL
    WHERE ended_at >= starts AND ended_at < ends;

    UPDATE drift_event SET principal_arn = NULL, source_ip = NULL, user_agent = NULL
    WHERE event_time >= starts AND event_time < ends;

    DELETE FROM audit_ranking WHERE ranking = 'PRINCIPAL' AND start_time >= starts AND start_time < ends;
    DELETE FROM audit_ranking_total WHERE ranking = 'PRINCIPAL' AND start_time >= starts AND start_time < ends;
END
$$;
COMMIT;
