-- This service's copy of `ingest.identities`: who exists and who may ask for what. Runs before the code that checks keys.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE identity_organizations (
    org_id uuid PRIMARY KEY,
    name text NOT NULL,
    active boolean NOT NULL,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE identity_api_keys (
    key_id uuid PRIMARY KEY,
    org_id uuid,
    name text NOT NULL,
    role text NOT NULL,
    key_hash text NOT NULL CONSTRAINT one_key_per_hash UNIQUE,
    hint text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN identity_api_keys.org_id IS 'null: a key of the bus''s own operators';
COMMENT ON COLUMN identity_api_keys.key_hash IS 'SHA-256 of the whole key, lower-case hex';

CREATE TABLE identity_producers (
    source text PRIMARY KEY,
    org_ids uuid[] NOT NULL,
    kinds text[] NOT NULL,
    active boolean NOT NULL,
    version bigint NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN identity_producers.org_ids IS 'empty: all organizations';

-- Roles are named after the service, and this file is every service's: the names come from whoever runs it.
-- The api role gets no grant here: keys are checked as worker, before the organization is known. Its policy stands for
-- the day when a service's own migration grants it something.
DO $policies$
DECLARE
    service text := regexp_replace(current_user, '_owner$', '');
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['identity_organizations', 'identity_api_keys'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY service_sees_all ON %I TO %I, %I USING (true) WITH CHECK (true)',
            table_name, service || '_owner', service || '_worker');
        EXECUTE format('CREATE POLICY api_sees_its_organization ON %I TO %I '
            'USING (org_id = nullif(current_setting(''app.org_id'', true), '''')::uuid) '
            'WITH CHECK (org_id = nullif(current_setting(''app.org_id'', true), '''')::uuid)',
            table_name, service || '_api');
    END LOOP;
END
$policies$;

-- migrate:down
DROP TABLE identity_producers;
DROP TABLE identity_api_keys;
DROP TABLE identity_organizations;
