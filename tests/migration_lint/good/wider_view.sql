UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

CREATE OR REPLACE VIEW reporting.current_shares AS
    SELECT account_id, region, image_id, shared_account_id, start_time AS shared_since, start_index AS shared_since_log_index,
        end_time AS ends_at
    FROM share_interval WHERE end_index IS NULL;
