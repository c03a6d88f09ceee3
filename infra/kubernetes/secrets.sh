#!/bin/sh
# Print, as Kubernetes Secrets, what make-secrets.sh has made (and what you put in its place):
#
#   infra/make-secrets.sh ~/heliostat-secrets
#   infra/kubernetes/secrets.sh ~/heliostat-secrets | kubectl -n heliostat apply -f -
#
# An S3 store outside: write its keys into s3-mlflow-access-key, s3-mlflow-secret-key,
# s3-heliostat-access-key and s3-heliostat-secret-key first. The certificate for the ingress is not
# among them: kubectl -n heliostat create secret tls heliostat-tls --cert=… --key=…
set -eu
[ $# -eq 1 ] || { echo "usage: secrets.sh FOLDER (made by make-secrets.sh)" >&2; exit 2; }
cd "$1"

secret() { # secret NAME KEY=FILE…
  name=$1
  shift
  for pair in "$@"; do
    [ -s "${pair#*=}" ] || { echo "secrets.sh: $PWD/${pair#*=} is missing or empty" >&2; exit 2; }
    set -- "$@" "--from-file=$pair"
    shift
  done
  echo "---"
  kubectl create secret generic "$name" --dry-run=client --output=yaml "$@"
}

secret heliostat-ray-token auth_token=ray-token
secret heliostat-mlflow password=mlflow-password flask-key=mlflow-flask-key
secret heliostat-postgres password=postgres-password
secret heliostat-redis password=redis-password
secret heliostat-s3-mlflow access-key=s3-mlflow-access-key secret-key=s3-mlflow-secret-key
secret heliostat-s3-heliostat access-key=s3-heliostat-access-key secret-key=s3-heliostat-secret-key
secret heliostat-store s3.json=s3.json
