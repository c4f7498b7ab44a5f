-- Who exists and who may ask for what: the truth of which `ingest.identities` tells every service. Runs before the code that admits.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE TABLE organizations (
    org_id uuid PRIMARY KEY,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT organizations_have_a_name CHECK (name <> '')
);

CREATE TABLE api_keys (
    key_id uuid PRIMARY KEY,
    org_id uuid REFERENCES organizations,
    name text NOT NULL,
    role text NOT NULL,
    key_hash text NOT NULL,
    hint text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT api_keys_one_per_hash UNIQUE (key_hash),
    CONSTRAINT api_keys_role_is_known
        CHECK (role IN ('super_admin', 'admin', 'editor', 'analyst', 'api_user', 'artist')),
    CONSTRAINT api_keys_of_operators_are_super_admins CHECK ((org_id IS NULL) = (role = 'super_admin'))
);
CREATE INDEX api_keys_of_an_organization ON api_keys (org_id, created_at DESC, key_id);
COMMENT ON COLUMN api_keys.org_id IS 'null: a key of the bus''s own operators, who see all organizations';
COMMENT ON COLUMN api_keys.key_hash IS 'SHA-256 of the whole key, lower-case hex; the key itself is kept nowhere';

CREATE TABLE producers (
    source text PRIMARY KEY,
    org_ids uuid[] NOT NULL,
    kinds text[] NOT NULL,
    active boolean NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE producers IS 'which ce_source may ask for what; the broker''s own ACLs say who may write at all';
COMMENT ON COLUMN producers.org_ids IS 'empty: all organizations';

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
COMMENT ON COLUMN audit_log.actor_key_id IS 'null: somebody with access to the database itself';

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY organizations_service_sees_all ON organizations TO ingest_owner, ingest_worker USING (true) WITH CHECK (true);
CREATE POLICY organizations_api_sees_its_own ON organizations FOR SELECT TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY api_keys_service_sees_all ON api_keys TO ingest_owner, ingest_worker USING (true) WITH CHECK (true);
CREATE POLICY api_keys_api_sees_its_organization ON api_keys TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('app.org_id', true), '')::uuid);

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_log_service_sees_all ON audit_log TO ingest_owner, ingest_worker USING (true) WITH CHECK (true);
CREATE POLICY audit_log_api_sees_its_organization ON audit_log TO ingest_api
    USING (org_id = nullif(current_setting('app.org_id', true), '')::uuid)
    WITH CHECK (org_id = nullif(current_setting('app.org_id', true), '')::uuid);

GRANT SELECT ON organizations TO ingest_api;
GRANT SELECT, INSERT, UPDATE (revoked_at, version, updated_at) ON api_keys TO ingest_api;
GRANT SELECT, INSERT ON audit_log TO ingest_api;
-- An organization's administrator makes keys, and ingest keeps its own copy of identities in the same transaction.
GRANT SELECT, INSERT, UPDATE ON identity_api_keys TO ingest_api;
-- A record of who did what is only ever added to.
REVOKE UPDATE, DELETE ON audit_log FROM ingest_worker;

-- The first key cannot be asked for with a key: `platformbus keys bootstrap` calls this with the worker's access.
CREATE FUNCTION record_operator_key(new_key_id uuid, new_name text, new_hash text, new_hint text, at timestamptz)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO api_keys (key_id, org_id, name, role, key_hash, hint, version, created_at, updated_at)
    VALUES (new_key_id, NULL, new_name, 'super_admin', new_hash, new_hint, 1, at, at);
    INSERT INTO audit_log (action, subject, details)
    VALUES ('key.bootstrapped', new_key_id::text, jsonb_build_object('name', new_name));
$$;

-- migrate:down
REVOKE ALL ON identity_api_keys FROM ingest_api;
DROP FUNCTION record_operator_key(uuid, text, text, text, timestamptz);
DROP TABLE audit_log;
DROP TABLE producers;
DROP TABLE api_keys;
DROP TABLE organizations;
