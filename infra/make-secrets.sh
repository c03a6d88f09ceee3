#!/bin/sh
# Make the secrets of a team's set-up, each in a file of its own, in a private folder:
#
#   infra/make-secrets.sh ~/heliostat-secrets
#
# What is there already is kept, so a second call changes nothing. The folder is closed to others
# (0700); its files are readable (0444), because containers that run as other users read them.
set -eu
[ $# -eq 1 ] || { echo "usage: make-secrets.sh FOLDER" >&2; exit 2; }
umask 077
mkdir -p "$1"
chmod 0700 "$1"
cd "$1"

random() { # random FILE BYTES: that many random bytes, in hexadecimal
  [ -s "$1" ] || od -An -N"$2" -tx1 /dev/urandom | tr -d ' \n' >"$1"
}

random ray-token 32
random mlflow-password 24
random mlflow-flask-key 32
random postgres-password 24
random redis-password 24
# Two users of the S3 store: `mlflow` for MLflow's bucket, `heliostat` for that of the Ray nodes.
for user in mlflow heliostat; do
  random "s3-$user-access-key" 10
  random "s3-$user-secret-key" 24
done

identity() { # identity USER: it may read and write the bucket of its own name
  printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], ' \
    "$1" "$(cat "s3-$1-access-key")" "$(cat "s3-$1-secret-key")"
  printf '"actions": ["Read:%s", "Write:%s", "List:%s", "Tagging:%s"]}' "$1" "$1" "$1" "$1"
}
[ -s s3.json ] ||
  printf '{"identities": [%s, %s]}\n' "$(identity mlflow)" "$(identity heliostat)" >s3.json
chmod 0444 ./*
echo "$PWD: $(ls | wc -l) secrets"
