#!/bin/sh
# Installs what the tests need, builds what they test, and runs them through CTest.
#
#   tests/run.sh          everything
#   tests/run.sh NAME     the tests whose CTest name matches the regular expression NAME (unit, e2e.api, lint ...)
#
# Whatever is there already (packages, the Python environment, built files) is used as it is, so that a second run is
# quick, needs no network and no root. The tests run in the asan build; build/release, build/tsan and build/fuzz are
# made for those tests that need them.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
jobs=$(nproc 2>/dev/null || echo 2)
only=${1:-}

say() {
  printf '\n== %s\n' "$*"
}
die() {
  printf '\ntests/run.sh: %s\n' "$*" >&2
  exit 1
}

case $only in
-h | --help)
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"
  exit 0
  ;;
esac
[ $# -le 1 ] || die "one NAME at most (see --help)"

# Debian 12's names; a version is pinned by the release itself.
packages='gcc g++ libc6-dev cmake ninja-build pkg-config libnghttp2-dev libmbedtls-dev libuv1-dev libjansson-dev
libcmocka-dev clang libclang-rt-14-dev llvm clang-format clang-tidy cppcheck shellcheck curl openssl netcat-openbsd nghttp2-client
python3 python3-venv ca-certificates iproute2 nftables openssh-server openssh-client redis-server redis-tools
bind9-dnsutils dnsmasq-base postgresql rsync debootstrap dpkg-dev file groff-base lintian man-db mandoc systemd
doxygen abigail-tools'
commands='gcc c++ cmake ctest ninja pkg-config clang clang-format clang-tidy cppcheck shellcheck curl openssl nc nghttp h2load
doxygen abidw python3'
modules='libnghttp2 libuv jansson cmocka'

# Prints what is not installed: package names where dpkg knows, else commands and pkg-config modules.
missing_tools() {
  if command -v dpkg-query >/dev/null; then
    for p in $packages; do
      case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
      *' installed') ;;
      *) printf '%s ' "$p" ;;
      esac
    done
    return
  fi
  for c in $commands; do
    command -v "$c" >/dev/null || printf '%s ' "$c"
  done
  for m in $modules; do
    pkg-config --exists "$m" 2>/dev/null || printf '%s ' "$m"
  done
}

install_packages() {
  missing=$(missing_tools)
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || die "missing, and there is no apt-get to install with: $missing"
  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "missing, and neither root nor sudo to install with: $missing"
    as_root=sudo
  fi
  say "installing packages: $missing"
  case " $missing" in
  *' postgresql '*) # its package would make a server, and start it
    $as_root mkdir -p /etc/postgresql-common/createcluster.d
    echo 'create_main_cluster = false' | $as_root tee /etc/postgresql-common/createcluster.d/tunnel2.conf >/dev/null
    ;;
  esac
  $as_root apt-get -q update || die "apt-get update failed (see above)"
  # shellcheck disable=SC2086 # a list of words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing ||
    die "apt-get install failed (see above)"
}

# make_venv FOLDER REQUIREMENTS: an environment with those packages, made anew when that file changes.
make_venv() {
  want=$(cat "$2")
  if [ -x "$1/bin/pytest" ] && [ "$(cat "$1/requirements.txt" 2>/dev/null)" = "$want" ] &&
    "$1/bin/python" -c '' 2>/dev/null; then
    return 0
  fi
  python=/usr/bin/python3 # the distribution's, for which python3-venv was installed
  [ -x "$python" ] || python=python3
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || die "$python is older than 3.9"
  [ ! -L "$1" ] || die "$1 is a link: --clear would empty what it leads to; remove the link first"
  say "making the Python environment $1"
  mkdir -p build
  "$python" -m venv --clear "$1" || die "$python -m venv failed (see above)"
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2" || die "pip could not install $2 (see above)"
  cp "$2" "$1/requirements.txt"
}

# configure PRESET
configure() {
  log=build/$1-configure.log
  mkdir -p build
  cmake --preset "$1" >"$log" 2>&1 || {
    cat "$log"
    die "configuring preset $1 failed (see above)"
  }
}

# build PRESET [TARGET...]
build() {
  preset=$1
  shift
  say "building preset $preset${*:+: }$*"
  configure "$preset"
  if [ $# -gt 0 ]; then
    cmake --build "build/$preset" -j "$jobs" --target "$@" || die "building preset $preset failed (see above)"
  else
    cmake --build "build/$preset" -j "$jobs" || die "building preset $preset failed (see above)"
  fi
}

# Programs of a build tree whose names match a pattern, as ninja names them.
targets_like() {
  ninja -C "build/$1" -t targets all | sed -n "s/^\\(bin\\/$2\\): .*EXECUTABLE.*/\\1/p"
}

# wanted PATTERN: is a test whose name matches PATTERN among those to run?
wanted() {
  printf '%s\n' "$names" | grep -Eq "$1"
}

install_packages
make_venv build/venv tests/e2e/requirements.txt
configure asan
names=$(ctest --test-dir build/asan -N ${only:+-R "$only"} | sed -n 's/^ *Test *#[0-9]*: //p')
[ -n "$names" ] || die "no test matches $only"
say "tests to run${only:+ (matching $only)}: $(printf '%s\n' "$names" | wc -l)"

if wanted '^python\.'; then
  make_venv build/venv-python tests/python/requirements.txt
fi
if wanted '^(unit|e2e|bench|load|python|package\.(man|completion)|lint\.symbols|lint\.tidy)'; then
  build asan
fi
if wanted '^(load\.run|python\.wheel|e2e\.backpressure|e2e\.all_at_once|e2e\.memory|e2e\.udp|e2e\.trust|e2e\.install|e2e\.embedding|e2e\.quickstart|package\.deb|lint\.symbols|headers\.program|abi\.|soak\.)'; then
  build release
fi
if wanted '^tsan\.'; then
  configure tsan
  threads=$(targets_like tsan 'test_[a-z0-9_]*threads')
  [ -n "$threads" ] || die "the tsan build has no thread tests"
  # shellcheck disable=SC2086 # a list of words
  build tsan $threads
fi
if wanted '^fuzz\.'; then
  build fuzz
fi

say "testing (log: build/asan/Testing/Temporary/LastTest.log)"
status=0
(cd "$root" && ctest --preset asan --no-label-summary -j "$jobs" ${only:+-R "$only"}) || status=$?
[ "$status" -eq 0 ] || die "tests failed (ctest's summary is above)"
