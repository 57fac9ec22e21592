#!/bin/sh
# The whole way in one go: builds the release preset, starts tunneld, proxyentry, an origin and tunnelc, and sends
# requests through both public addresses of the session.
#
#   examples/quickstart.sh           shows it, cleans up and ends
#   examples/quickstart.sh --stay    leaves it running until Ctrl-C, for you to try
#
# Ports are free ones unless given: T2_PUBLIC_PORT, T2_UPLINK_PORT, T2_CONTROL_PORT, T2_ORIGIN_PORT; the session's
# name too: T2_SESSION. On Debian missing packages are installed by apt-get.
set -eu
cd "$(dirname "$0")/.."
work='' pids=''

say() {
  printf '\n== %s\n' "$*"
}
die() {
  printf 'quickstart: %s\n' "$*" >&2
  exit 1
}
# shellcheck disable=SC2317 # called by trap
cleanup() {
  trap - EXIT INT TERM
  for pid in $pids; do
    kill "$pid" 2>/dev/null || true
  done
  for pid in $pids; do
    wait "$pid" 2>/dev/null || true
  done
  if [ -n "$work" ]; then
    rm -rf "$work"
  fi
}

stay=
case ${1:-} in
'') ;;
--stay) stay=yes ;;
-h | --help)
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0"
  exit 0
  ;;
*) die "there is no option $1 (--stay is the only one)" ;;
esac
session=${T2_SESSION:-quickstart}

install_packages() {
  missing=
  for p in gcc libc6-dev cmake ninja-build pkg-config libnghttp2-dev libmbedtls-dev libuv1-dev libjansson-dev curl python3; do
    case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true) in
    *' installed') ;;
    *) missing="$missing $p" ;;
    esac
  done
  [ -n "$missing" ] || return 0
  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "install these packages first (neither root nor sudo here):$missing"
    as_root=sudo
  fi
  say "installing$missing"
  # shellcheck disable=SC2086 # a list of words
  if ! { $as_root apt-get -qq update &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing; }; then
    die "apt-get could not install$missing"
  fi
}

build() {
  say "building the release preset"
  mkdir -p build
  cmake --preset release >build/quickstart.log 2>&1 || {
    cat build/quickstart.log >&2
    die "configuring failed (see above)"
  }
  cmake --build --preset release --target tunneld proxyentry tunnelc || die "the build failed (see above)"
}

# start NAME COMMAND...: in the background, events to NAME.events, the log to NAME.log; sets $started.
start() {
  name=$1
  shift
  "$@" >"$work/$name.events" 2>"$work/$name.log" &
  started=$!
  pids="$started $pids"
}

# wait_for NAME EVENT: until the program started last has said so; 20 s at most.
wait_for() {
  tries=200
  until grep -q "\"event\": *\"$2\"" "$work/$1.events"; do
    if ! kill -0 "$started" 2>/dev/null; then
      sed 's/^/  /' "$work/$1.log" >&2
      # The program's own last line says which port is taken, and what else it may be.
      die "$1 ended at once: $(tail -n 1 "$work/$1.log")"
    fi
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "$1 did not become \"$2\" within 20 s: $(tail -n 1 "$work/$1.log")"
    sleep 0.1
  done
}

# member NAME KEY: a string member of the program's ready event.
member() {
  sed -n "s/.*\"event\": *\"ready\".*\"$2\": *\"\\([^\"]*\\)\".*/\\1/p" "$work/$1.events" | head -n 1
}

# show CURL-ARGUMENTS: a request as a person would type it, and what came back.
show() {
  printf '\n$ curl'
  for word in "$@"; do
    case $word in
    *[!A-Za-z0-9_./:=-]*) printf " '%s'" "$word" ;;
    *) printf ' %s' "$word" ;;
    esac
  done
  printf '\n'
  curl -sS --max-time 10 --noproxy '*' "$@" >"$work/answer" || die "that request failed"
  sed 's/^/  /' "$work/answer"
}

# expect TEXT: the answer shown last has it.
expect() {
  grep -q "$1" "$work/answer" || die "that answer has no \"$1\""
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  install_packages
fi
for tool in cmake ninja pkg-config curl python3; do
  command -v "$tool" >/dev/null || die "$tool is missing: install it first"
done
build

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)
state=$work/state
bin=build/release/bin

say "starting an origin, tunneld, proxyentry and tunnelc"
mkdir "$work/site"
echo "hello from the origin" >"$work/site/hello.txt"
cat >"$work/origin.py" <<'ORIGIN'
import http.server
import json
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


try:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
except OSError as error:
    sys.exit(f"origin: 127.0.0.1:{sys.argv[1]}: {error.strerror}")
print(json.dumps({"event": "ready", "port": str(server.server_port)}), flush=True)
server.serve_forever()
ORIGIN
root=$PWD
cd "$work/site"
start origin python3 "$work/origin.py" "${T2_ORIGIN_PORT:-0}"
cd "$root"
wait_for origin ready
origin=$(member origin port)

start tunneld "$bin/tunneld" --dev --json --state-dir "$state" --listen "127.0.0.1:${T2_CONTROL_PORT:-0}"
wait_for tunneld ready
control=$(member tunneld control)

start proxyentry "$bin/proxyentry" --dev --json --state-dir "$state" --control "https://$control" \
  --public "127.0.0.1:${T2_PUBLIC_PORT:-0}" --uplink "127.0.0.1:${T2_UPLINK_PORT:-0}"
wait_for proxyentry registered
public=$(member proxyentry public)
port=${public##*:}

start tunnelc "$bin/tunnelc" http "$origin" --dev --json --state-dir "$state" --server "https://$control" \
  --session "$session"
wait_for tunnelc ready

by_path=http://$public/session/$session
by_name=http://$session.localhost:$port
cat <<ADDRESSES
  origin      http://127.0.0.1:$origin (a folder with hello.txt)
  tunneld     https://$control
  proxyentry  http://$public
  session     $by_path/
              $by_name/
ADDRESSES

say "requests through the tunnel"
show "$by_path/hello.txt"
expect "hello from the origin"
show --resolve "$session.localhost:$port:127.0.0.1" "$by_name/hello.txt"
expect "hello from the origin"
show -d "a body that goes there and back" "$by_path/"
expect "there and back"
show -I "$by_path/hello.txt"
expect "200"

if [ -n "$stay" ]; then
  say "it goes on until Ctrl-C; logs are in $work. Try:"
  printf '  curl -i %s/hello.txt\n  curl -i %s/hello.txt\n' "$by_path" "$by_name"
  while kill -0 "$started" 2>/dev/null; do
    sleep 1
  done
  die "tunnelc ended: $(tail -n 1 "$work/tunnelc.log")"
fi
say "done; cleaning up"
