#!/usr/bin/env bash
# Makes the secrets that compose.yaml mounts, each in a file of its own; leaves those alone that are there.
#   deploy/make-secrets.sh [FOLDER]
# The folder is for its owner alone. The files can be read by all who get into it: in a container they keep the modes
# they have here, and the services are neither root nor this user.
set -euo pipefail
umask 077
folder=${1:-$(dirname "$0")/../secrets}

random_bytes() { head -c "$1" /dev/urandom; }
hex() { random_bytes "$1" | od -An -v -tx1 | tr -d ' \n'; }

make_secret() { # NAME VALUE
    local file=$folder/$1
    if [ -e "$file" ]; then
        echo "$1: kept"
        return
    fi
    printf '%s\n' "$2" >"$file.new"
    chmod 444 "$file.new"
    mv "$file.new" "$file"
    echo "$1: made"
}

mkdir -p "$folder"
make_secret redis_password "$(hex 32)"
# One a caller, with commas between them: whoever calls /v1/… sends one as `Authorization: Bearer …`.
make_secret api_keys "sk-$(hex 24)"
# The bearer of /forget.
make_secret operator_token "op-$(hex 32)"
# Signs the log and certificates. Losing it takes `unlearn evidence-keys rotate --lost`.
make_secret evidence_key "$(random_bytes 32 | base64)"
# Encrypts forget sets while they wait. Losing it loses those, nothing else.
make_secret payload_key "$(random_bytes 32 | base64)"
