-- Whoever waits for a table's lock makes everybody wait behind it: months are made and dropped another time rather than long. Runs before or after the code.
-- migrate:up
SET LOCAL lock_timeout = '3s';

ALTER FUNCTION make_webhook_partitions(integer) SET lock_timeout = '1s';
ALTER FUNCTION drop_webhook_partitions(timestamptz) SET lock_timeout = '1s';

-- migrate:down
ALTER FUNCTION drop_webhook_partitions(timestamptz) RESET lock_timeout;
ALTER FUNCTION make_webhook_partitions(integer) RESET lock_timeout;
