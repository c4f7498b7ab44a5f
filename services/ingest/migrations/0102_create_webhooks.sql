-- What platforms told of an organization's accounts, kept for its own systems to look at. Runs before the code that keeps it.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE webhooks (
    event_id text PRIMARY KEY,
    org_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    platform text NOT NULL,
    app text NOT NULL,
    object text NOT NULL,
    field text NOT NULL,
    change_type text NOT NULL,
    account_type text NOT NULL,
    account_id text NOT NULL,
    external_event_id text NOT NULL,
    webhook_id uuid NOT NULL,
    position integer NOT NULL,
    occurred_at timestamptz,
    received_at timestamptz NOT NULL,
    value jsonb NOT NULL
);
-- Event ids begin with the time, so this is also the order of the list.
CREATE INDEX webhooks_of_an_organization ON webhooks (org_id, event_id DESC);
CREATE INDEX webhooks_of_a_delivery ON webhooks (webhook_id);
CREATE INDEX webhooks_by_age ON webhooks USING brin (received_at) WITH (autosummarize = on);

COMMENT ON COLUMN webhooks.event_id IS 'ce_id of the event that brought it';
COMMENT ON COLUMN webhooks.webhook_id IS 'the delivery, as webhook_receiver keeps it';
COMMENT ON COLUMN webhooks.external_event_id IS 'the same for the same change, however often the platform delivers it';

ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhooks FORCE ROW LEVEL SECURITY;
CREATE POLICY webhooks_service_sees_all ON webhooks TO ingest_owner, ingest_worker USING (true) WITH CHECK (true);
CREATE POLICY webhooks_api_sees_its_organization ON webhooks FOR SELECT TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid);

GRANT SELECT ON webhooks TO ingest_api;

-- migrate:down
DROP TABLE webhooks;
