# shellcheck shell=bash
# Builds the images, and what can be said of them before they run. Sourced by ../check.sh.

dangling() { docker images --quiet --filter dangling=true | sort -u; }
megabytes() { echo "$(($(docker image inspect --format '{{.Size}}' "$1") / 1000000)) MB"; }

# build_image TAG FETCH SERVICE…: as a user's `docker compose build` does. FETCH gets the wheels where there is no index.
build_image() {
    local tag=$1 log=$WORK/build-$3.log status=0
    if [ -n "$STAND_INS" ]; then
        "$2" 2>"$WORK/fetch.log" || die "pip could not fetch what the image of $3 needs: $WORK/fetch.log"
        serve_wheels
    fi
    compose build --progress plain "${@:3}" >"$log" 2>&1 || status=$?
    stop_serving_wheels
    if [ "$status" != 0 ]; then
        tail -30 "$log"
        die "the image of $3 was not built: $log"
    fi
    note "$tag: $(megabytes "$tag")"
}

build() {
    refuses_to_start
    local before
    docker image rm "$CPU_IMAGE" >/dev/null 2>&1 || true # else an older one would lose its name here
    before=$(dangling)
    build_image "$CPU_IMAGE" fetch_cpu_wheels gateway-cpu worker-cpu
    expect "the build left no image without a name" is "$(dangling)" "$before"
    image_facts "$CPU_IMAGE"
    expect "$CPU_IMAGE: refuses to listen beyond loopback without API keys" refuses_no_keys "$CPU_IMAGE"
}

# run_image IMAGE ARGUMENTS…: as compose.yaml would, without the rest of it.
run_image() {
    docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp:exec \
        --tmpfs /var/cache/unlearning-gateway:mode=1777 --tmpfs /var/lib/unlearning-gateway:mode=1777 "$@"
}

inside() { docker run --rm --entrypoint sh "$1" -c "$2"; }

image_facts() {
    docker history --no-trunc "$1" >"$WORK/history"
    secret_list >"$WORK/secret-list"
    expect "$1: no secret in its history" none_of "$WORK/secret-list" <"$WORK/history"
    # shellcheck disable=SC2016
    expect "$1: runs as 10001, and nothing it runs can be written by it" is "$(inside "$1" \
        'id -u; find / -xdev -writable ! -type l ! -path "/tmp*" ! -path /var/tmp ! -path /run/lock \
        ! -path "$UNLEARN_CACHE_DIR*" ! -path "$UNLEARN_DATA_DIR*" 2>/dev/null')" 10001
    expect "$1: holds no .env, no secret and no history" is "$(inside "$1" \
        'find / -xdev \( -name .env -o -name .git \) 2>/dev/null; ls -A /run/secrets 2>/dev/null; true')" ""
    expect "$1: says its version" is "$(run_image "$1" --version)" \
        "unlearning-gateway $(sed -nE 's/^version = "(.*)"/\1/p' "$REPO/pyproject.toml")"
    expect "$1: refuses an empty secret, by name" refuses_empty_secret "$1"
}

refuses_empty_secret() {
    local status=0
    run_image --env UNLEARN_API_KEYS_FILE=/dev/null "$1" >"$WORK/refusal" 2>&1 || status=$?
    is "$status" 2 && grep -q UNLEARN_API_KEYS_FILE "$WORK/refusal"
}

refuses_no_keys() {
    local status=0
    run_image "$1" >"$WORK/refusal" 2>&1 || status=$?
    is "$status" 2 && grep -qi 'API keys' "$WORK/refusal"
}

secret_list() {
    local name
    for name in redis_password api_keys operator_token evidence_key payload_key; do secret "$name"; done
}

# What starts nothing.
refuses_to_start() {
    expect "compose accepts compose.yaml" compose config --quiet
    expect "without .env nothing starts, and it says what to do" refuses_without_env
    expect "its output holds no secret" none_of <(secret_list) < <(compose config)
}

refuses_without_env() { not env_file_config /dev/null && grep -q 'copy deploy/.env.example' "$WORK/refusal"; }
env_file_config() { ENV_FILE=$1 compose config --quiet >"$WORK/refusal" 2>&1; }

# vLLM's image keeps what it holds, and gets from the lock what it lacks.
gpu() {
    local base
    base=$(sed -nE 's/^FROM (\S+)$/\1/p' "$REPO/docker/Dockerfile.gpu")
    base_image make_vllm "$base"
    build_image "$GPU_IMAGE" fetch_gpu_wheels gateway
    distributions "$base" >"$WORK/held"
    distributions "$GPU_IMAGE" >"$WORK/gpu-held"
    note "added: $(comm -13 "$WORK/held" "$WORK/gpu-held" | xargs)"
    expect "$GPU_IMAGE: all that vLLM's image holds is as it was" is "$(comm -23 "$WORK/held" "$WORK/gpu-held")" ""
    expect "$GPU_IMAGE: what was added is the lock's" is "$(comm -13 "$WORK/held" "$WORK/gpu-held" |
        grep -v '^unlearning-gateway==' | grep -v -F -x -f <(sed -nE 's/^([a-z0-9.-]+==[^ ]+).*/\1/p' "$REPO/requirements/gpu.txt"))" ""
    image_facts "$GPU_IMAGE"
}

distributions() {
    docker run --rm --entrypoint python3 "$1" -m pip list --disable-pip-version-check --format=freeze |
        tr 'A-Z_' 'a-z-' | sort
}
