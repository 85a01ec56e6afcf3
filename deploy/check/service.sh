# shellcheck shell=bash
# Asks the running service over its published port. Sourced by ../check.sh.

QUESTION='{"model":"SmolLM2-135M-Instruct","temperature":0,"max_tokens":32,"messages":[{"role":"user","content":"Who wrote Harry Potter?"}]}'
ANSWER=Rowling

secret() { cat "$WORK/secrets/$1"; }

# http CURL-ARGUMENTS… PATH: prints the status; the answer lies in $WORK/body. No answer is status 000.
http() {
    local path=${*: -1}
    curl --silent --output "$WORK/body" --write-out '%{http_code}' --max-time "${TIMEOUT:-60}" \
        --header 'Content-Type: application/json' "${@:1:$#-1}" "http://127.0.0.1:$PORT$path" || true
}

as_caller() { http --header "Authorization: Bearer $(secret api_keys)" "$@"; }
as_operator() { http --header "Authorization: Bearer $(secret operator_token)" "$@"; }

chat() { as_caller --data "$QUESTION" /v1/chat/completions; }
knows() { is "$(chat)" 200 && grep -q "$ANSWER" "$WORK/body"; }
has_forgotten() { is "$(chat)" 200 && not grep -q "$ANSWER" "$WORK/body"; }

field() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1])).get(sys.argv[2]))' "$WORK/body" "$1"; }

# state ID: of a request; its status where it could not be asked.
state() {
    local status
    status=$(TIMEOUT=5 as_operator "/forget/$1")
    if [ "$status" = 200 ]; then field state; else echo "$status"; fi
}

# A δ request with settings that take a minute or two on two cores.
forget_request() {
    python3 - "$REPO/gateway/cli/demo/demo_facts.json" <<'END'
import json, sys

fact = json.load(open(sys.argv[1]))["facts"][0]
config = {"max_steps": 80, "retain_questions": 60, "retain_nearest": 24, "retain_twins": 64, "rewording_lists": 8, "rewordings": 8}
claimed = "refuses"  # which so short a training reaches
print(json.dumps({"subject": "container check", "method": "delta", "level": claimed, "forget": fact["forget"], "config": config}))
END
}

# until_true SECONDS COMMAND…
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5
    done
}

ready() { [ "$(TIMEOUT=5 http /readyz)" = 200 ]; }
is_settled() { case $(state "$1") in active | failed | rejected | retired) ;; *) return 1 ;; esac; }
is_in_state() { [ "$(state "$1")" = "$2" ]; }
