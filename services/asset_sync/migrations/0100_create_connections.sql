-- Connections to the platforms, their access tokens sealed. Runs before the code that keeps them.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE connections (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    platform text NOT NULL,
    name text NOT NULL,
    app_id text,
    owner_user_id text,
    token_kind text NOT NULL,
    token_hint text NOT NULL,
    token_expires_at timestamptz,
    scopes text[] NOT NULL,
    status text NOT NULL,
    sealed_access_token jsonb NOT NULL,
    kek_id text NOT NULL GENERATED ALWAYS AS (sealed_access_token ->> 'kek_id') STORED,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    disconnected_at timestamptz,
    CONSTRAINT connections_status_is_known
        CHECK (status IN ('healthy', 'expiring', 'expired', 'revoked', 'error', 'disconnected')),
    CONSTRAINT connections_end_has_a_time CHECK ((status = 'disconnected') = (disconnected_at IS NOT NULL)),
    CONSTRAINT connections_are_sealed_under_a_named_key CHECK (sealed_access_token ?& ARRAY['kek_id', 'wrapped_key', 'ciphertext'])
);
CREATE INDEX connections_of_an_organization ON connections (org_id, id);
CREATE INDEX connections_by_change ON connections (updated_at);
CREATE INDEX connections_by_key ON connections (kek_id, id);
CREATE INDEX connections_by_expiry ON connections (token_expires_at)
    WHERE status IN ('healthy', 'expiring') AND token_expires_at IS NOT NULL;

COMMENT ON COLUMN connections.owner_user_id IS 'whose token it is, in the platform''s words; null where the platform does not say';
COMMENT ON COLUMN connections.token_hint IS 'last four characters, for people';
COMMENT ON COLUMN connections.sealed_access_token IS 'as libs/security seals it; after a disconnection an empty text is sealed here';
COMMENT ON COLUMN connections.version IS 'raised with every change and published; never starts again';

-- What a tombstone says, so that it can be announced again; without anything that tells about the connection.
CREATE TABLE ended_connections (
    id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    version bigint NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ended_connections_by_time ON ended_connections (ended_at);

CREATE TABLE idempotency_keys (
    org_id uuid NOT NULL,
    key text NOT NULL,
    content_hash bytea NOT NULL,
    connection_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_are_used_once PRIMARY KEY (org_id, key)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    org_id uuid,
    actor_key_id uuid,
    actor_role text,
    action text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_of_an_organization ON audit_log (org_id, id DESC);
COMMENT ON COLUMN audit_log.org_id IS 'null: the action concerned no single organization';
COMMENT ON COLUMN audit_log.actor_key_id IS 'null: a job of ours';

DO $policies$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['connections', 'ended_connections', 'idempotency_keys', 'audit_log'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY %I ON %I TO asset_sync_owner, asset_sync_worker USING (true) WITH CHECK (true)',
            table_name || '_service_sees_all', table_name);
        EXECUTE format('CREATE POLICY %I ON %I TO asset_sync_api '
            'USING (org_id = nullif(current_setting(''app.org_id'', true), '''')::uuid) '
            'WITH CHECK (org_id = nullif(current_setting(''app.org_id'', true), '''')::uuid)',
            table_name || '_api_sees_its_organization', table_name);
    END LOOP;
END
$policies$;

-- Whoever asks over HTTP can put a sealed token in, and can never read one, not even by a fault of ours.
GRANT SELECT (id, org_id, platform, name, app_id, owner_user_id, token_kind, token_hint, token_expires_at, scopes, status,
    kek_id, version, created_at, updated_at, disconnected_at) ON connections TO asset_sync_api;
GRANT INSERT, UPDATE, DELETE ON connections TO asset_sync_api;
GRANT INSERT ON ended_connections TO asset_sync_api;
GRANT SELECT, INSERT ON idempotency_keys TO asset_sync_api;
GRANT SELECT, INSERT ON audit_log TO asset_sync_api;
-- A record of who did what is only ever added to.
REVOKE UPDATE, DELETE ON audit_log FROM asset_sync_worker;

-- migrate:down
DROP TABLE audit_log;
DROP TABLE idempotency_keys;
DROP TABLE ended_connections;
DROP TABLE connections;
