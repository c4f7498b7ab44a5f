-- What was asked, by whom, and how it ended; with the connections that may be asked for. Runs before the code that admits.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE requests (
    request_id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    source text NOT NULL,
    idempotency_key text NOT NULL,
    content_hash bytea NOT NULL,
    kind text NOT NULL,
    object_key text NOT NULL,
    via text NOT NULL,
    event_id text,
    key_id uuid,
    correlation_id text NOT NULL,
    status text NOT NULL,
    platform text,
    connection_id uuid,
    request_type text,
    params jsonb,
    priority smallint,
    max_wait_seconds double precision,
    problem jsonb,
    call_id uuid,
    http_status integer,
    result jsonb,
    result_bytes bigint,
    error jsonb,
    received_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT requests_come_by_http_or_kafka CHECK (via IN ('http', 'kafka')),
    CONSTRAINT requests_status_is_known CHECK (status IN ('accepted', 'completed', 'failed', 'rejected')),
    CONSTRAINT requests_end_has_a_time CHECK ((status = 'accepted') = (ended_at IS NULL)),
    CONSTRAINT requests_rejection_has_a_reason CHECK ((status = 'rejected') = (problem IS NOT NULL))
) WITH (fillfactor = 85);  -- each row is updated once, when it ends

-- A refused request did nothing, so its key stays free: it can be asked again once what was wrong is mended.
CREATE UNIQUE INDEX requests_are_done_once ON requests (org_id, source, idempotency_key) WHERE status <> 'rejected';
-- A refusal is answered once though its record is delivered again; the same event with another body is answered too.
CREATE UNIQUE INDEX requests_are_refused_once ON requests (org_id, source, event_id, content_hash) WHERE status = 'rejected';
-- Request ids begin with the time, so this is also the order of the list.
CREATE INDEX requests_of_an_organization ON requests (org_id, request_id DESC);
CREATE INDEX requests_by_age ON requests USING brin (received_at) WITH (autosummarize = on);

COMMENT ON COLUMN requests.source IS 'ce_source, or key:<id of the API key>';
COMMENT ON COLUMN requests.content_hash IS 'SHA-256 over kind, object key and payload: the same key with another body is refused';
COMMENT ON COLUMN requests.event_id IS 'ce_id of the asking event; null over HTTP';
COMMENT ON COLUMN requests.result IS 'null when larger than the limit that is kept; result_bytes then says how large it was';

-- Parts of results that are too large for one message, until the last one is there.
CREATE TABLE request_result_parts (
    request_id uuid NOT NULL REFERENCES requests ON DELETE CASCADE,
    org_id uuid NOT NULL,
    part integer NOT NULL,
    parts integer NOT NULL,
    chunk text,
    chunk_bytes bigint NOT NULL,
    CONSTRAINT request_result_parts_come_once PRIMARY KEY (request_id, part),
    CONSTRAINT request_result_parts_are_numbered CHECK (part BETWEEN 1 AND parts)
);

COMMENT ON COLUMN request_result_parts.chunk IS 'null when the whole is surely larger than what is kept: it is only measured';

-- This service's copy of `assets.connections`: what admission asks, and no secret.
CREATE TABLE connections (
    connection_id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    platform text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    expires_at timestamptz,
    version bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE requests FORCE ROW LEVEL SECURITY;
CREATE POLICY requests_service_sees_all ON requests TO ingest_owner, ingest_worker USING (true) WITH CHECK (true);
CREATE POLICY requests_api_sees_its_organization ON requests TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('app.org_id', true), '')::uuid);

ALTER TABLE request_result_parts ENABLE ROW LEVEL SECURITY;
ALTER TABLE request_result_parts FORCE ROW LEVEL SECURITY;
CREATE POLICY request_result_parts_service_sees_all ON request_result_parts TO ingest_owner, ingest_worker
    USING (true) WITH CHECK (true);
CREATE POLICY request_result_parts_api_sees_its_organization ON request_result_parts TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid);

ALTER TABLE connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
CREATE POLICY connections_service_sees_all ON connections TO ingest_owner, ingest_worker USING (true) WITH CHECK (true);
CREATE POLICY connections_api_sees_its_organization ON connections FOR SELECT TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid);

GRANT SELECT, INSERT ON requests TO ingest_api;
GRANT SELECT ON connections TO ingest_api;

-- migrate:down
DROP TABLE connections;
DROP TABLE request_result_parts;
DROP TABLE requests;
