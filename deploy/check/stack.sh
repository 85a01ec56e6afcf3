# shellcheck shell=bash disable=SC2016
# The running stack. Sourced by ../check.sh. A single-quoted $ is for the shell or the Python in a container.

up() {
    [ -f "$WORK/secret-list" ] || secret_list >"$WORK/secret-list"
    refuses_a_missing_secret
    refuses_an_empty_secret redis_password redis "redis_password is empty"
    refuses_an_empty_secret api_keys gateway-cpu "api_keys.* is missing or empty"
    local before=$SECONDS
    expect "up: Redis and the gateway are healthy" bring_up
    note "after $((SECONDS - before)) s"
    compose ps --all
}

# bring_up ARGUMENTS…: until the gateway says that it is ready. Not by --wait: that fails where a service, as the worker, has
# no health check.
bring_up() {
    if ! compose up --detach --no-build "$@" >"$WORK/up.log" 2>&1; then
        tail -5 "$WORK/up.log"
        return 1
    fi
    until_true 900 ready || {
        cat "$WORK/body"
        return 1
    }
}

# with_secrets FOLDER: an .env for them.
with_secrets() { sed "s|^UNLEARN_SECRETS=.*|UNLEARN_SECRETS=$1|" "$WORK/env" >"$WORK/env-refused"; }

refuses_a_missing_secret() {
    rm -rf "$WORK/fewer" && mkdir "$WORK/fewer" && cp "$WORK"/secrets/{redis_password,api_keys,operator_token,evidence_key} "$WORK/fewer"
    with_secrets "$WORK/fewer"
    ENV_FILE=$WORK/env-refused expect "a missing secret is refused, by name" not starts
    expect "  which is payload_key" grep -q payload_key "$WORK/refusal"
    down
}

# refuses_an_empty_secret SECRET SERVICE WORDS: the service that reads it says the words.
refuses_an_empty_secret() {
    rm -rf "$WORK/empty" && cp -r "$WORK/secrets" "$WORK/empty"
    : >"$WORK/empty/new" && chmod 444 "$WORK/empty/new" && mv -f "$WORK/empty/new" "$WORK/empty/$1"
    with_secrets "$WORK/empty"
    ENV_FILE=$WORK/env-refused expect "$1: empty, it is refused" not starts
    compose logs "$2" >"$WORK/refusal" 2>&1
    expect "  and its log says so" grep -q "$3" "$WORK/refusal"
    down
}

starts() { compose up --detach --no-build >"$WORK/refusal" 2>&1 && until_true 15 ready; }

check() {
    trap 'compose logs --no-color >"$WORK/compose.log" 2>&1 || true; down' EXIT
    answers
    request=$(register)
    inspections # while it learns
    learning
    restarting
    redis_away
    two_workers
    waiting_over_a_stop
    stopping
    logs
}

quietly() { "$@" >/dev/null 2>&1; }

answers() {
    expect "a chat with a key is answered, from knowledge" knows
    expect "without a key: 401" is "$(http --data "$QUESTION" /v1/chat/completions)" 401
    expect "an API key is not the operator's token: 403" is "$(as_caller /forget)" 403
}

# Prints the id.
register() {
    local status
    status=$(forget_request | as_operator --data @- /forget)
    [ "$status" = 202 ] || die "POST /forget: $status $(cat "$WORK/body")"
    field id
}

learning() {
    local before=$SECONDS
    expect "POST /forget becomes active" becomes_active
    note "after $((SECONDS - before)) s more"
    expect "the answer has changed: forgotten" has_forgotten
}

becomes_active() { until_true 600 is_settled "$request" && is "$(state "$request")" active; }

restarting() {
    expect "what was compiled at the start is on the cache volume" quietly inside_service gateway-cpu sh -c \
        'find "$TORCHINDUCTOR_CACHE_DIR" -name "*.so" | grep .'
    local before=$SECONDS
    compose restart gateway-cpu >/dev/null 2>&1
    expect "ready after a restart" until_true 300 ready
    note "after $((SECONDS - before)) s"
    expect "what the gateway has seen of the log outlives its container" is \
        "$(inspect gateway-cpu '{{range .Mounts}}{{if eq .Destination "/var/lib/unlearning-gateway"}}{{.Type}}{{end}}{{end}}')" volume
    expect "  and the last checkpoint is there" quietly inside_service gateway-cpu sh -c 'test -s "$UNLEARN_DATA_DIR/log.checkpoint"'
    expect "the first answer after it: forgotten" has_forgotten
}

inspect() { docker inspect --format "$2" "$(compose ps --quiet "$1")"; }

# networks_of SERVICE
networks_of() {
    local name
    for name in $(inspect "$1" '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}'); do
        docker network inspect --format "${name#"$PROJECT"_} internal={{.Internal}}" "$name"
    done
}

# of_all COMMAND…: `docker COMMAND… ID…`
of_all() {
    local ids
    mapfile -t ids < <(compose ps --all --quiet)
    docker "$@" "${ids[@]}"
}

arguments() { compose ps --quiet | while read -r id; do docker top "$id" -eo pid,args; done; }
inside_service() { compose exec -T "$1" "${@:2}"; }

inspections() {
    of_all inspect >"$WORK/inspect.json"
    expect "no secret in docker inspect" none_of "$WORK/secret-list" <"$WORK/inspect.json"
    expect "no secret among the arguments of processes" none_of "$WORK/secret-list" < <(arguments)
    local service
    for service in redis gateway-cpu worker-cpu; do
        expect "$service: not root, no capability, no way to more" inside_service "$service" sh -c '
            [ "$(id -u)" != 0 ] && grep -q "^CapEff:.*0000000000000000$" /proc/1/status && grep -q "^NoNewPrivs:.*1$" /proc/1/status'
        expect "$service: its root is read-only" inside_service "$service" sh -c \
            'grep -qE "^\S+ / \S+ ro," /proc/mounts && ! touch /probe 2>/dev/null'
        expect "$service: no volume without a name" is \
            "$(inspect "$service" '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}' | tr ' ' '\n' | grep -cE '^[0-9a-f]{64}$' || true)" 0
    done
    expect "only the gateway is published, on loopback" is "$(published)" "127.0.0.1:$PORT"
    expect "gateway: nothing but 8000 listens beyond loopback" is "$(listening gateway-cpu)" 8000
    expect "worker: nothing listens beyond loopback" is "$(listening worker-cpu)" ""
    expect "worker: gives way to the gateway" [ "$(inspect worker-cpu '{{.HostConfig.CpuShares}}')" -lt 1024 ]
    expect "the self-check passes" quietly inside_service gateway-cpu entrypoint doctor
    expect "the worker can write its cache and data" inside_service worker-cpu sh -c \
        'for folder in "$UNLEARN_CACHE_DIR" "$UNLEARN_DATA_DIR"; do touch "$folder/.probe" && rm "$folder/.probe" || exit; done'
    expect "redis: keeps its file on its volume" quietly inside_service redis sh -c '[ "$(stat -c %U /data)" = redis ] && ls /data/appendonlydir'
    expect "redis: asks for its password" is "$(inside_service redis redis-cli ping)" "NOAUTH Authentication required."
    expect "redis: on the network without a way out, and on no other" is "$(networks_of redis)" "backend internal=true"
    expect "the command line works in the container" quietly inside_service gateway-cpu entrypoint list
}

published() {
    of_all inspect --format '{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}}:{{.HostPort}} {{end}}{{end}}' | xargs
}

# Ports that are listened on at other addresses than 127.0.0.0/8 and ::1.
listening() {
    inside_service "$1" python3 -c '
ports = set()
for family in ("tcp", "tcp6"):
    for line in open(f"/proc/net/{family}").readlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        host, port = address.split(":")
        loopback = host == "0" * 24 + "01000000" or host[-2:] == "7F" and (len(host) == 8 or host.startswith("0" * 16 + "FFFF0000"))
        if state == "0A" and not loopback:
            ports.add(int(port, 16))
print(*sorted(ports))'
}

redis_away() {
    compose kill redis >/dev/null 2>&1
    local end=$((SECONDS + 20)) chats="" write
    while [ $SECONDS -lt $end ]; do chats+="$(chat) "; done
    write=$(TIMEOUT=30 as_operator --request POST "/forget/$request/deactivate")
    note "chats while Redis is away: $(tr ' ' '\n' <<<"$chats" | sort | uniq -c | xargs)"
    compose start redis >/dev/null 2>&1
    expect "Redis killed for 20 s: every chat is answered" is "$(tr ' ' '\n' <<<"$chats" | sort -u | xargs)" 200
    expect "  a write is refused with 503" is "$write" 503
    expect "  nothing is lost: the request is active" until_true 60 is_in_state "$request" active
    expect "  and still forgotten" has_forgotten
}

two_workers() {
    expect "a second worker starts" bring_up --no-recreate --scale worker-cpu=2
    expect "  and both say they are ready" until_true 60 both_ready
}

both_ready() {
    local ids id
    ids=$(compose ps --quiet --status running worker-cpu)
    [ "$(wc -w <<<"$ids")" = 2 ] || return 1
    for id in $ids; do docker logs "$id" 2>&1 | grep -q 'worker ready' || return 1; done
}

# All is stopped while a request waits; started again, the gateway gets ready and a worker takes it.
waiting_over_a_stop() {
    local waiting before
    quietly compose stop worker-cpu
    waiting=$(register)
    quietly compose stop
    before=$SECONDS
    expect "with a request waiting all starts again" bring_up
    note "after $((SECONDS - before)) s"
    expect "  and a worker takes it" until_true 60 not is_in_state "$waiting" queued
    expect "  it can be withdrawn" is "$(as_operator --request DELETE "/forget/$waiting")" 200
}

stopping() {
    local stream before=$SECONDS
    rm -f "$WORK/stream" # of an earlier run
    curl --silent --no-buffer --max-time 100 "http://127.0.0.1:$PORT/v1/chat/completions" \
        --header 'Content-Type: application/json' --header "Authorization: Bearer $(secret api_keys)" \
        --data '{"model":"SmolLM2-135M-Instruct","stream":true,"ignore_eos":true,"max_tokens":200,"messages":[{"role":"user","content":"Count."}]}' \
        >"$WORK/stream" &
    stream=$!
    until_true 20 grep -q '^data: ' "$WORK/stream" 2>/dev/null
    expect "the answer is in flight when the stop comes" not grep -q '\[DONE\]' "$WORK/stream"
    expect "stop" quietly compose stop
    wait "$stream" || true
    note "after $((SECONDS - before)) s"
    expect "the answer in flight was finished" grep -q '^data: \[DONE\]' "$WORK/stream"
    expect "everything ended with status 0, none for want of memory" is \
        "$(of_all inspect --format '{{.State.ExitCode}} {{.State.OOMKilled}}' | sort -u)" "0 false"
}

logs() {
    compose logs --no-color >"$WORK/compose.log" 2>&1
    expect "no secret in the logs" none_of "$WORK/secret-list" <"$WORK/compose.log"
    expect "no text to be forgotten in the logs" none_of <(printf '%s\n' Potter "$ANSWER") <"$WORK/compose.log"
    expect "no traceback in the logs" not grep -q Traceback "$WORK/compose.log"
}
