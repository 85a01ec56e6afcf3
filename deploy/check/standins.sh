# shellcheck shell=bash
# Base images for a host that reaches no image registry: the real ones' names over Debian's packages. Sourced by
# ../check.sh. They show that our part builds and runs; they are not what a user gets (Redis is Debian's 7, not 8).

DEBIAN_IMAGE=unlearning-check-debian:bookworm
INDEX_PORT=18931

# The one apt uses here.
# shellcheck disable=SC2016
debian_mirror() { apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/$'; }

# The root file system under all of them.
make_debian() {
    docker image inspect "$DEBIAN_IMAGE" >/dev/null 2>&1 && return
    command -v debootstrap >/dev/null || die "stand-ins need debootstrap (apt-get install debootstrap)"
    local root=$WORK/debian
    rm -rf "$root"
    debootstrap --variant=minbase --include=ca-certificates,netbase,tzdata bookworm "$root" "$(debian_mirror)" \
        >"$WORK/debootstrap.log" || die "debootstrap failed: $WORK/debootstrap.log"
    # As Docker's own Debian images do it: apt keeps neither what it has fetched nor its indices of it.
    printf '%s\n' 'DPkg::Post-Invoke {"rm -f /var/cache/apt/archives/*.deb";};' \
        'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' >"$root/etc/apt/apt.conf.d/small"
    rm -rf "$root"/var/cache/apt/{archives/*.deb,*.bin} "$root"/var/lib/apt/lists/*
    tar -C "$root" -c . | docker import - "$DEBIAN_IMAGE" >/dev/null
    rm -rf "$root"
}

# make_standin TAG PACKAGES INSTRUCTIONS: unless the image is there already.
make_standin() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    make_debian
    printf '%s\n' "FROM $DEBIAN_IMAGE" \
        "RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $2 >/dev/null && rm -rf /var/lib/apt/lists/*" \
        "$3" | DOCKER_BUILDKIT=0 docker build --quiet --network host --tag "$1" --file - "$WORK/context" \
        >"$WORK/standin.log" 2>&1 || die "no stand-in for $1: $WORK/standin.log"
}

make_context() {
    mkdir -p "$WORK/context"
    # What pip fetches while an image is built comes from serve_wheels.
    printf '[global]\nno-index = true\nfind-links = http://127.0.0.1:%s/\n' "$INDEX_PORT" >"$WORK/context/pip.conf"
}

# Headers come with the real image too: PyTorch compiles against them.
make_python() { make_standin "$1" "python3 python3-venv python3-dev python-is-python3" "COPY pip.conf /etc/pip.conf"; }

# The real one's user has these numbers.
make_redis() {
    make_standin "$1" redis-server "RUN groupmod -o -g 1000 redis && usermod -u 999 -g 1000 redis && install -d -o redis -g redis /data
VOLUME /data
WORKDIR /data"
}

# vLLM's image without the GBs: what its release resolves to, real as far as the command line imports it, else by name and
# version alone. Its Python 3.12 is this host's.
make_vllm() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    local prefix
    prefix=$(python_312_prefix) || die "a stand-in for $1 needs a Python 3.12 on this host"
    rm -rf "$WORK"/context/{python,vllm}
    cp -a "$prefix" "$WORK/context/python"
    rm -rf "$WORK"/context/python/lib/python3.12/{test,site-packages/*}
    vllm_packages "${1##*:v}" "$WORK/context/vllm"
    make_standin "$1" "libssl3 libffi8 zlib1g libbz2-1.0 liblzma5 libsqlite3-0" "COPY pip.conf /etc/pip.conf
COPY python /opt/python
COPY vllm /opt/python/lib/python3.12/site-packages
ENV PATH=/opt/python/bin:\$PATH PYTHONHOME=/opt/python LD_LIBRARY_PATH=/opt/python/lib PYTHONDONTWRITEBYTECODE=1
RUN ln -sf python3.12 /opt/python/bin/python3 && python3 -m ensurepip >/dev/null"
}

python_312_prefix() {
    local python
    for python in python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python3.12; do
        "$python" -c 'import sys; print(sys.base_prefix)' 2>/dev/null && return
    done
    return 1
}

# vllm_packages VERSION FOLDER
vllm_packages() {
    local uv=$TOOLS/uv for_312=(--python-version 3.12 --python-platform x86_64-manylinux_2_35) list=$WORK/vllm-packages.txt
    local released name version
    case $1 in
        0.32.0) released=2026-10-19 ;;
        *) die "say in ${BASH_SOURCE[0]} when vLLM $1 was released" ;;
    esac
    echo "vllm==$1" | "$uv" pip compile --quiet "${for_312[@]}" --exclude-newer "$released" --no-header --no-annotate - >"$list"
    "$uv" pip install --quiet "${for_312[@]}" --only-binary :all: --target "$2" --constraint "$list" \
        typer pydantic-settings httpx psutil cryptography setuptools
    rm -rf "${2:?}"/{bin,.lock}
    while IFS='=' read -r name _ version; do
        local info="$2/${name//[-.]/_}-$version.dist-info"
        [ ! -d "$info" ] || continue
        mkdir "$info"
        printf 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n' "$name" "$version" >"$info/METADATA"
    done <"$list"
}

# What an image's lock names, fetched by this host's pip with whatever that has been told.
fetch_cpu_wheels() {
    local fetch=("$TOOLS/python" -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes --dest "$WORK/wheels")
    "${fetch[@]}" -r "$REPO/requirements/torch-cpu.txt" 2>/dev/null ||
        "${fetch[@]}" --index-url "$(sed -n 's/^TORCH_CPU_INDEX := //p' "$REPO/Makefile")" -r "$REPO/requirements/torch-cpu.txt"
    "${fetch[@]}" --only-binary :all: -r "$REPO/requirements/cpu.txt"
}

# Only what the stand-in for vLLM's image lacks: the rest is GBs.
fetch_gpu_wheels() {
    awk 'NR == FNR { sub(/==.*/, ""); held[$0]; next } /^[a-z0-9]/ { split($1, pin, "=="); lacks = !(pin[1] in held) } lacks' \
        "$WORK/vllm-packages.txt" "$REPO/requirements/gpu.txt" >"$WORK/gpu-lacks.txt"
    "$(python_312_prefix)/bin/python3" -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes \
        --only-binary :all: --dest "$WORK/wheels" -r "$WORK/gpu-lacks.txt"
}

serve_wheels() {
    "$TOOLS/python" -m http.server --bind 127.0.0.1 --directory "$WORK/wheels" "$INDEX_PORT" >/dev/null 2>&1 &
    WHEEL_SERVER=$!
    sleep 1
    kill -0 "$WHEEL_SERVER" 2>/dev/null || die "nothing can listen on port $INDEX_PORT"
}

stop_serving_wheels() { [ -z "$STAND_INS" ] || kill "$WHEEL_SERVER"; }
