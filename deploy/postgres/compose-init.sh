#!/bin/sh
# Run once by the Postgres image of docker-compose.yml, when its data folder is empty: roles, schemas, and one password for
# the roles of this development set-up (ROLES_PASSWORD). A real cluster gives each role its own.
set -eu
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 --file /roles.sql
for service in ingest asset_sync batcher webhook_receiver; do
  for role in owner worker api; do
    psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
      --set name="${service}_${role}" --set password="$ROLES_PASSWORD" <<'SQL'
ALTER ROLE :"name" PASSWORD :'password';
SQL
  done
done
