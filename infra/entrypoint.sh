#!/bin/sh
# Secrets come as files, some programs want variables: NAME_FILE=/run/secrets/x becomes NAME=(the
# text of that file) for the names below. A file that is missing or empty stops the container.
set -eu
for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY MLFLOW_AUTH_ADMIN_PASSWORD \
  MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_TRACKING_PASSWORD PGPASSWORD REDIS_PASSWORD; do
  eval "file=\${${name}_FILE:-}"
  [ -n "$file" ] || continue
  [ -s "$file" ] && [ -r "$file" ] || {
    echo "heliostat: ${name}_FILE: $file is missing, empty or cannot be read" >&2
    exit 2
  }
  value=$(cat "$file")
  export "$name=$value"
  unset "${name}_FILE"
done
exec "$@"
