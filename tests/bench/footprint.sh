#!/bin/sh
# What libtunnel2 weighs: the stripped library, the hello program of docs/EMBEDDING.md linked with no shared library but
# libc, that program's memory idle and after requests, and the functions exported.
#
#   tests/bench/footprint.sh              builds the release preset where it is not there
#   REQUESTS=100000 tests/bench/footprint.sh
#
# Needs h2load (nghttp2-client) beside what the build needs.
set -eu
cd "$(dirname "$0")/../.."
requests=${REQUESTS:-10000}
build=${BUILD:-$PWD/build/release}
work=$(mktemp -d) pids=''

die() {
  printf 'footprint: %s\n' "$*" >&2
  exit 1
}
# shellcheck disable=SC2317 # called by trap
cleanup() {
  trap - EXIT INT TERM
  for pid in $pids; do
    kill "$pid" 2>/dev/null || true
  done
  wait
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# Waits until a line of the file matches, and prints it.
await() {
  n=0
  until line=$(grep -m 1 -- "$2" "$1" 2>/dev/null); do
    n=$((n + 1))
    [ "$n" -lt 100 ] || die "no \"$2\" came: $(cat "$1")"
    sleep 0.1
  done
  printf '%s\n' "$line"
}
kib() {
  printf '%s KiB' "$((($(stat -L -c %s "$1") + 512) / 1024))"
}
rss() {
  awk '/^VmRSS/ { print $2 " KiB" }' "/proc/$1/status"
}

if [ ! -f "$build/lib/libtunnel2.a" ] || [ ! -x "$build/bin/tunneld" ]; then
  cmake --preset release >/dev/null
  cmake --build --preset release >/dev/null
fi
strip -o "$work/libtunnel2.so" "$build/lib/libtunnel2.so"

# link SOURCE PROGRAM: with everything but libc inside.
link() {
  cc -O2 -ffunction-sections -Iinclude -I"$build/include" "$1" -o "$2" -s -Wl,--gc-sections "$build/lib/libtunnel2.a" \
    -Wl,-Bstatic -lnghttp2 -ljansson -lmbedtls -lmbedx509 -lmbedcrypto -l:libuv_a.a -Wl,-Bdynamic -pthread -ldl
}

# The program of the page; and the same for a tunnel on other ports.
sed -n '/^\/\* hello\.c \*\//,/^```$/p' docs/EMBEDDING.md | sed '$d' >"$work/hello.c"
sed -e 's|"hello";|"hello";\n  options.server = argv[3];|' "$work/hello.c" >"$work/served.c"
link "$work/hello.c" "$work/hello"
link "$work/served.c" "$work/served"
"$build/bin/tunneld" --dev --state-dir "$work/state" --json --listen 127.0.0.1:0 --entry --public 127.0.0.1:0 --uplink 127.0.0.1:0 \
  >"$work/tunneld.log" 2>/dev/null &
pids="$pids $!"
control=$(await "$work/tunneld.log" '"event": *"ready"' | sed 's/.*"control": *"\([^"]*\)".*/\1/')
"$work/served" "$(cat "$work/state/token")" "$work/state/ca.pem" "https://$control" >"$work/hello.log" 2>&1 &
hello=$!
pids="$pids $hello"
url=$(await "$work/hello.log" '^http')
idle=$(rss "$hello")
h2load --h1 -n "$requests" -c 16 "$url" >"$work/load.log" 2>&1 || die "h2load failed: $(cat "$work/load.log")"
grep -q "$requests succeeded, 0 failed" "$work/load.log" || die "not all requests were answered: $(cat "$work/load.log")"

printf '| %s | %s |\n' what size --- --- \
  "\`libtunnel2.so\`, stripped" "$(kib "$work/libtunnel2.so")" \
  "the hello program with no shared library but libc, stripped" "$(kib "$work/hello")" \
  "its memory (RSS), idle" "$idle" \
  "and after $requests requests" "$(rss "$hello")" \
  "functions exported" "$(nm -D --defined-only "$build/lib/libtunnel2.so" | wc -l)"
