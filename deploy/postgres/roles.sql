-- The three roles and the schema of every service. Run by a superuser inside the database that platformbus uses:
--     psql "$POSTGRES_ADMIN_DSN" --set ON_ERROR_STOP=1 --file deploy/postgres/roles.sql
-- or `platformbus migrate roles`. Safe to run again, and at the same time from several places. Roles belong to the cluster, schemas to the
-- database: a second database of the same cluster (a test's) runs the same file. No password is set here: give each role one,
-- or a certificate, by the means of your own cluster.
--
-- <service>_owner   migrations; owns the schema. FORCE ROW LEVEL SECURITY binds it too, so migrations give it a policy.
-- <service>_worker  consumers, relay, claims, jobs: reads and writes every table of its schema.
-- <service>_api     what a person or a key asked for over HTTP: only what a migration grants, only its organization's rows.
BEGIN;

-- CREATE/ALTER ROLE of two sessions collide with "tuple concurrently updated"; advisory locks end at the database, this one does not.
LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE;

DO $roles$
DECLARE
    service record;
    role_name text;
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;

    FOR service IN
        SELECT * FROM (VALUES
            ('ingest', 'ingest'),
            ('asset_sync', 'assets'),
            ('batcher', 'batching'),
            ('webhook_receiver', 'webhooks')
        ) AS services (name, schema)
    LOOP
        FOREACH role_name IN ARRAY ARRAY[service.name || '_owner', service.name || '_worker', service.name || '_api'] LOOP
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I', role_name);
            END IF;
            EXECUTE format(
                'ALTER ROLE %I LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', role_name);
            EXECUTE format('ALTER ROLE %I SET search_path = %I', role_name, service.schema);
            EXECUTE format('ALTER ROLE %I SET timezone = %L', role_name, 'UTC');
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role_name);
        END LOOP;

        -- A caller of the API must not wait for a lock or hold one for long.
        EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', service.name || '_api', '3s');
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', service.name || '_api', '10s');
        EXECUTE format('ALTER ROLE %I SET transaction_timeout = %L', service.name || '_api', '20s');
        -- A consumer's transaction holds one poll (up to 2,000 records); a duplicate waits for its twin's commit, but not for ever.
        EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', service.name || '_worker', '10s');
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', service.name || '_worker', '30s');
        EXECUTE format('ALTER ROLE %I SET transaction_timeout = %L', service.name || '_worker', '2min');
        -- A migration that queues for a table's lock queues everybody else behind itself; a concurrent index may run for long.
        EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', service.name || '_owner', '5s');
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', service.name || '_owner', '1min');
        EXECUTE format('ALTER ROLE %I SET transaction_timeout = %L', service.name || '_owner', '1h');

        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service.schema, service.name || '_owner');
        EXECUTE format('ALTER SCHEMA %I OWNER TO %I', service.schema, service.name || '_owner');
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', service.schema);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I, %I',
            service.schema, service.name || '_worker', service.name || '_api');

        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I',
            service.name || '_owner', service.schema, service.name || '_worker');
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I',
            service.name || '_owner', service.schema, service.name || '_worker');
        -- EXECUTE for PUBLIC is a default of the whole role, so it can only be taken away without IN SCHEMA.
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC',
            service.name || '_owner');
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT EXECUTE ON FUNCTIONS TO %I',
            service.name || '_owner', service.schema, service.name || '_worker');
    END LOOP;
END
$roles$;

COMMIT;
