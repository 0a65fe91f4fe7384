-- Which builds may use the schema, and which replicas do. The number of a build is the version of its newest migration.

CREATE TABLE build_admission (
    oldest_build bigint NOT NULL CHECK (oldest_build > 0)
);
COMMENT ON TABLE build_admission IS 'One row. The builds from oldest_build on may use the schema.';
COMMENT ON COLUMN build_admission.oldest_build IS 'A migration raises it to the oldest build that it admits; sharewarden finalize raises it to the newest migration.';
CREATE UNIQUE INDEX build_admission_has_one_row ON build_admission ((true));
INSERT INTO build_admission (oldest_build) VALUES (6);

CREATE TABLE replica (
    replica_id uuid PRIMARY KEY,
    build bigint NOT NULL CHECK (build > 0),
    version text NOT NULL CHECK (length(version) BETWEEN 1 AND 64),
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE replica IS 'The running servers. Each updates its row every few seconds, and deletes it when it stops.';
