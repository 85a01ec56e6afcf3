#!/bin/sh
# Takes secrets from files (NAME_FILE, as Docker and Kubernetes mount them) into this process's environment, so that
# they show neither in the container's configuration nor in a process list. Then becomes `unlearn`.
set -eu

for name in REDIS_URL REDIS_PASSWORD UNLEARN_API_KEYS UNLEARN_OPERATOR_TOKEN UNLEARN_PAYLOAD_KEY \
    UNLEARN_EVIDENCE_KEY; do
    eval "file=\${${name}_FILE:-}"
    [ -n "$file" ] || continue
    if [ ! -s "$file" ]; then
        echo "entrypoint: $file, named by ${name}_FILE, is missing or empty" >&2
        exit 2
    fi
    eval "export ${name}=\"\$(cat \"\$file\")\""
    unset "${name}_FILE"
done

if [ -z "${REDIS_URL:-}" ] && [ -n "${REDIS_HOST:-}" ]; then
    export REDIS_URL="redis://${REDIS_PASSWORD:+:${REDIS_PASSWORD}@}${REDIS_HOST}:${REDIS_PORT:-6379}/0"
fi
unset REDIS_PASSWORD
# Compose hands over what .env leaves empty as empty: here that means not set.
[ -n "${UNLEARN_MODEL:-}" ] || unset UNLEARN_MODEL

exec unlearn "$@"
