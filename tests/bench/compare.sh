#!/bin/sh
# Ours beside other systems, on loopback with one worker each, in interleaved rounds: requests/s, processor time a
# request, latency, memory, MB/s; as a table, as JSON and as an SVG chart, with the targets and whether they are met.
#
#   tests/bench/compare.sh                    all of it: under 25 minutes
#   tests/bench/compare.sh --fast             the main lines: two to three minutes
#   tests/bench/compare.sh --systems direct,nghttpx,ours --connections 64 --bodies 13
#   tests/bench/compare.sh --plan             what would be measured, and how long that takes
#   tests/bench/compare.sh --help             the rest
#
# Installs what it needs (Debian's packages) and builds the release preset; T2_BIN_RELEASE names programs built
# elsewhere. rathole, frps and frpc, chisel and bore take part when they are on the PATH.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

die() {
  printf 'compare: %s\n' "$*" >&2
  exit 1
}

for argument in "$@"; do
  case $argument in
  -h | --help | --plan | --from | --from=*) exec python3 "$here/compare/main.py" "$@" ;;
  esac
done

missing=
for p in nginx-light nghttp2-proxy nghttp2-client wrk haproxy openssl python3 gcc libc6-dev; do
  case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
  *' installed') ;;
  *) missing="$missing $p" ;;
  esac
done
if [ -n "$missing" ]; then
  as_root=
  [ "$(id -u)" -eq 0 ] || as_root=sudo
  # shellcheck disable=SC2086 # a list of words
  if ! { $as_root apt-get -qq update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing; }; then
    die "could not install$missing"
  fi
fi
if [ -z "${T2_BIN_RELEASE:-}" ]; then
  cd "$root"
  mkdir -p build
  { cmake --preset release && cmake --build --preset release; } >build/compare-build.log 2>&1 ||
    die "the release build failed: see build/compare-build.log"
  T2_BIN_RELEASE=$root/build/release/bin
  export T2_BIN_RELEASE
  cd - >/dev/null
fi
exec python3 "$here/compare/main.py" "$@"
