-- A month is not dropped while a delivery in it waits to be processed: it was answered, however long ago. Runs before or after the code.
-- migrate:up
SET LOCAL lock_timeout = '3s';

CREATE OR REPLACE FUNCTION drop_webhook_partitions(ended_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '1s' AS $function$
DECLARE
    old record;
    waits boolean;
    dropped integer := 0;
BEGIN
    IF ended_before IS NULL OR ended_before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'ended_before must be at least a day ago, not %', ended_before
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('webhooks.partitions'), 0);
    FOR old IN
        SELECT child.relname AS name, link.inhparent = 'webhook_events'::regclass AS holds_deliveries
        FROM pg_catalog.pg_inherits AS link
        JOIN pg_catalog.pg_class AS child ON child.oid = link.inhrelid
        WHERE link.inhparent IN ('webhook_events'::regclass, 'webhook_changes'::regclass)
            AND child.relname ~ '_[0-9]{6}$'
            AND (to_date(right(child.relname, 6), 'YYYYMM') + interval '1 month') AT TIME ZONE 'UTC' <= ended_before
        ORDER BY child.relname
    LOOP
        waits := false;
        IF old.holds_deliveries THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE status IN (''received'', ''processing'')'
                ' OR next_attempt_at IS NOT NULL)', old.name) INTO waits;
        END IF;
        CONTINUE WHEN waits;
        EXECUTE format('DROP TABLE %I', old.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$function$;

-- migrate:down
CREATE OR REPLACE FUNCTION drop_webhook_partitions(ended_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '1s' AS $function$
DECLARE
    old record;
    dropped integer := 0;
BEGIN
    IF ended_before IS NULL OR ended_before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'ended_before must be at least a day ago, not %', ended_before
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('webhooks.partitions'), 0);
    FOR old IN
        SELECT child.relname AS name
        FROM pg_catalog.pg_inherits AS link
        JOIN pg_catalog.pg_class AS child ON child.oid = link.inhrelid
        WHERE link.inhparent IN ('webhook_events'::regclass, 'webhook_changes'::regclass)
            AND child.relname ~ '_[0-9]{6}$'
            AND (to_date(right(child.relname, 6), 'YYYYMM') + interval '1 month') AT TIME ZONE 'UTC' <= ended_before
        ORDER BY child.relname
    LOOP
        EXECUTE format('DROP TABLE %I', old.name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$function$;
