UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

-- Only of the parent, at once: later partitions get it, and the operator builds it for each older one with CONCURRENTLY.
CREATE INDEX audit_entry_error ON ONLY audit_entry (error_reason, recorded_at, account_id, log_index);
