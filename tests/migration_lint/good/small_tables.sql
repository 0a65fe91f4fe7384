UPDATE build_admission SET oldest_build = greatest(oldest_build, 6);

INSERT INTO worker_lease (worker) VALUES ('drift');
CREATE INDEX worker_lease_owner ON worker_lease (owner);
ALTER TABLE change ALTER account_id SET (n_distinct = 20);
