#!/bin/sh
# The parts without sockets, one operation of each: instructions by callgrind, which a change of 1 % moves, and time.
#
#   tests/bench/micro.sh                                all of them; writes build/micro.json
#   tests/bench/micro.sh --out before.json              then change something, and
#   tests/bench/micro.sh --against before.json          see by how many percent each has changed
#   tests/bench/micro.sh h2_get whole_way               only these
#   tests/bench/micro.sh --help                         the rest
#
# Builds build/bench: the release preset with T2_BUILD_BENCH. Needs valgrind, which it installs where there is apt-get.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

die() {
  printf 'micro: %s\n' "$*" >&2
  exit 1
}

if ! command -v valgrind >/dev/null; then
  as_root=
  [ "$(id -u)" -eq 0 ] || as_root=sudo
  if ! { $as_root apt-get -qq update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install valgrind; }; then
    die "could not install valgrind"
  fi
fi
cd "$root"
mkdir -p build
{ cmake --preset release -B build/bench -DT2_BUILD_BENCH=ON && cmake --build build/bench --target bench_micro; } \
  >build/micro-build.log 2>&1 || die "the build failed: see build/micro-build.log"
cd - >/dev/null
exec python3 "$here/micro/micro.py" --program "$root/build/bench/bin/bench_micro" "$@"
