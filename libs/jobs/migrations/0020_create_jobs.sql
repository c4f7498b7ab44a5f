-- Periodic jobs and their runs. Runs before the code that declares jobs.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE jobs (
    name text PRIMARY KEY,
    next_run_at timestamptz NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    locked_by text,
    locked_until timestamptz,
    lease_epoch bigint NOT NULL DEFAULT 0,
    CONSTRAINT a_lease_has_an_owner_and_an_end CHECK ((locked_by IS NULL) = (locked_until IS NULL))
);

COMMENT ON COLUMN jobs.lease_epoch IS 'grows with every run that starts; a run may only be ended under its own epoch';

CREATE TABLE job_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_name text NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
    trigger text NOT NULL,
    requested_by text,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    outcome text,
    counts jsonb NOT NULL DEFAULT '{}',
    error text,
    worker text,
    lease_epoch bigint,
    CONSTRAINT trigger_is_known CHECK (trigger IN ('schedule', 'manual')),
    CONSTRAINT outcome_is_known CHECK (
        outcome IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'abandoned')),
    CONSTRAINT an_end_has_an_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT a_start_has_an_epoch CHECK ((started_at IS NULL) = (lease_epoch IS NULL)),
    CONSTRAINT a_scheduled_run_has_started CHECK (trigger = 'manual' OR started_at IS NOT NULL)
);

COMMENT ON COLUMN job_runs.outcome IS 'abandoned: whoever ran it died or lost its lease, or nobody took a request in time';

-- One running and one requested run of a job at a time, whatever the code does.
CREATE UNIQUE INDEX job_runs_one_running ON job_runs (job_name) WHERE started_at IS NOT NULL AND ended_at IS NULL;
CREATE UNIQUE INDEX job_runs_one_requested ON job_runs (job_name) WHERE started_at IS NULL AND ended_at IS NULL;
CREATE INDEX job_runs_latest ON job_runs (job_name, id DESC);
CREATE INDEX job_runs_ended ON job_runs (ended_at);

-- migrate:down
DROP TABLE job_runs;
DROP TABLE jobs;
