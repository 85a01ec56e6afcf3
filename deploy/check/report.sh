# shellcheck shell=bash
# What was checked and how it went. Sourced by ../check.sh.

STARTED=$SECONDS
RESULTS=()
FAILED=0

# expect WHAT COMMAND…: one line of the table.
expect() {
    local what=$1 result=ok
    shift
    "$@" || {
        result=FAIL
        FAILED=$((FAILED + 1))
    }
    RESULTS+=("$(printf '%5d s  %-4s  %s' $((SECONDS - STARTED)) "$result" "$what")")
    echo "${RESULTS[-1]}"
}

note() { echo "               $*"; }

is() { [ "$1" = "$2" ] || { note "is '$1', not '$2'"; return 1; }; }

not() { ! "$@"; }

# none_of FILE <TEXT: the text holds none of the file's lines.
none_of() { ! grep -q -F -f "$1"; }

# Prints the table; the status says whether all went well.
report() {
    [ ${#RESULTS[@]} -gt 0 ] || return 0
    echo
    printf '%s\n' "${RESULTS[@]}"
    echo "$((${#RESULTS[@]} - FAILED)) ok, $FAILED failed, $((SECONDS - STARTED)) s"
    [ "$FAILED" = 0 ]
}
