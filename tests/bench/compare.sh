#!/bin/sh
# Beside nginx direct and a pair of nghttpx (HTTP/1.1 to h2 over TLS to HTTP/1.1), one worker each: how many requests
# a second, and how much processor time for each, over loopback.
#
#   tests/bench/compare.sh
#   ROUNDS=5 SECONDS_EACH=5 CONNECTIONS=64 tests/bench/compare.sh
#
# Rounds are interleaved, so that whatever else the machine does falls on all alike; the medians count. Processor time
# is that of a system's own processes (the tunnel or the proxies), not of the load or the origin.
set -eu
cd "$(dirname "$0")/../.."
rounds=${ROUNDS:-5}
each=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-64}
bin=${T2_BIN_RELEASE:-$PWD/build/release/bin}
work='' pids=''

die() {
  printf 'compare: %s\n' "$*" >&2
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

missing=
for p in nginx-light nghttp2-proxy wrk openssl python3 curl; do
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
  mkdir -p build
  { cmake --preset release && cmake --build --preset release; } >build/compare-build.log 2>&1 ||
    die "the release build failed: see build/compare-build.log"
fi

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
work=$(mktemp -d)

# Free ports for those who can't choose one themselves.
read -r origin_port front_port back_port <<PORTS
$(python3 -c '
import socket
socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*[s.getsockname()[1] for s in socks])')
PORTS

# start NAME COMMAND...: its output to NAME.out and NAME.log; sets $started.
start() {
  name=$1
  shift
  "$@" >"$work/$name.out" 2>"$work/$name.log" &
  started=$!
  pids="$started $pids"
}
# wait_for WHAT COMMAND...: until it succeeds, 10 s at most.
wait_for() {
  what=$1
  shift
  tries=100
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "$what did not come up: $(tail -n 3 "$work"/*.log)"
    sleep 0.1
  done
}
ready() {
  grep -q "\"event\": *\"$2\"" "$work/$1.out"
}
member() {
  sed -n "s/.*\"event\": *\"ready\".*\"$2\": *\"\\([^\"]*\\)\".*/\\1/p" "$work/$1.out" | head -n 1
}

# ---- the origin ----
cat >"$work/nginx.conf" <<NGINX
daemon off;
worker_processes 1;
pid $work/nginx.pid;
error_log $work/nginx-error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path $work/t1; proxy_temp_path $work/t2; fastcgi_temp_path $work/t3;
  uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:$origin_port;
    location / { default_type text/plain; return 200 "hello, world\n"; }
  }
}
NGINX
start nginx nginx -c "$work/nginx.conf" -p "$work"
wait_for nginx curl -fsS "http://127.0.0.1:$origin_port/"

# ---- a pair of nghttpx ----
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
start nghttpx-back nghttpx --conf=/dev/null --workers=1 --single-process --errorlog-file="$work/nghttpx-back.err" \
  --frontend="127.0.0.1,$back_port" --backend="127.0.0.1,$origin_port" "$work/key.pem" "$work/cert.pem"
back=$started
start nghttpx-front nghttpx --conf=/dev/null --workers=1 --single-process --errorlog-file="$work/nghttpx-front.err" \
  --frontend="127.0.0.1,$front_port;no-tls" --backend="127.0.0.1,$back_port;;proto=h2;tls;sni=localhost" \
  --cacert="$work/cert.pem"
front=$started
wait_for nghttpx curl -fsS "http://127.0.0.1:$front_port/"

# ---- ours ----
state=$work/state
start tunneld "$bin/tunneld" --dev --json --log-level warn --state-dir "$state" --listen 127.0.0.1:0
tunneld=$started
wait_for tunneld ready tunneld ready
control=https://$(member tunneld control)
start proxyentry "$bin/proxyentry" --dev --json --log-level warn --state-dir "$state" --control "$control" --public 127.0.0.1:0 \
  --uplink 127.0.0.1:0
proxyentry=$started
wait_for proxyentry ready proxyentry registered
public=$(member proxyentry public)
start tunnelc "$bin/tunnelc" http "$origin_port" --dev --json --log-level warn --state-dir "$state" --server "$control" \
  --session bench
tunnelc=$started
wait_for tunnelc ready tunnelc ready
wait_for "the tunnel" curl -fsS "http://$public/session/bench/"

# ---- the rounds ----
ticks=$(getconf CLK_TCK)
# Processor time of processes, in microseconds.
cpu() {
  total=0
  for pid in "$@"; do
    # The name in field 2 may hold anything: what counts begins after its closing parenthesis.
    spent=$(sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }')
    total=$((total + spent))
  done
  echo $((total * 1000000 / ticks))
}

# round SYSTEM URL PID...: a line "SYSTEM REQUESTS/S CPU-US-A-REQUEST ERRORS" to the results.
round() {
  system=$1 url=$2
  shift 2
  before=$(cpu "$@")
  wrk -t1 -c"$connections" -d"${each}s" "$url" >"$work/wrk.out" || die "wrk failed for $system"
  after=$(cpu "$@")
  awk -v name="$system" -v cpu=$((after - before)) '
    / requests in / { requests = $1 }
    /^Requests\/sec:/ { rate = $2 }
    /Non-2xx/ { errors += $NF }
    /Socket errors:/ { gsub(/,/, ""); for (i = 4; i <= NF; i += 2) errors += $i }
    END { printf "%s %.0f %.1f %d\n", name, rate, requests ? cpu / requests : 0, errors }' "$work/wrk.out" |
    tee -a "$work/results"
}

nginx_worker=$(pgrep -P "$(cat "$work/nginx.pid")")
wrk -t1 -c"$connections" -d1s "http://127.0.0.1:$front_port/" >/dev/null
wrk -t1 -c"$connections" -d1s "http://$public/session/bench/" >/dev/null
printf 'rounds: %s of %s s, %s connections (system, requests/s, CPU us/request, errors)\n' "$rounds" "$each" "$connections"
n=0
while [ "$n" -lt "$rounds" ]; do
  round nginx "http://127.0.0.1:$origin_port/" "$nginx_worker"
  round nghttpx "http://127.0.0.1:$front_port/" "$front" "$back"
  round ours "http://$public/session/bench/" "$proxyentry" "$tunnelc"
  n=$((n + 1))
done

# ---- what it comes to ----
python3 - "$work/results" <<'MEDIANS'
import statistics
import sys

found = {}
for line in open(sys.argv[1]):
    system, rate, cpu, errors = line.split()
    found.setdefault(system, []).append((float(rate), float(cpu), int(errors)))
print(f"\n{'median':<10}{'requests/s':>12}{'CPU us/request':>16}{'errors':>8}")
median = {}
for system, rounds in found.items():
    rate, cpu = (statistics.median(r[i] for r in rounds) for i in (0, 1))
    median[system] = rate, cpu
    print(f"{system:<10}{rate:>12.0f}{cpu:>16.1f}{sum(r[2] for r in rounds):>8}")
print(f"\nours/nghttpx: {median['ours'][0] / median['nghttpx'][0]:.2f} of the requests/s, "
      f"{median['ours'][1] / median['nghttpx'][1]:.2f} of the CPU time a request")
MEDIANS
printf '\nRSS now and at its peak (MiB):\n'
for entry in "nginx-worker $nginx_worker" "nghttpx-front $front" "nghttpx-back $back" "tunneld $tunneld" \
  "proxyentry $proxyentry" "tunnelc $tunnelc"; do
  awk -v name="${entry% *}" '/^VmHWM/ { peak = $2 } /^VmRSS/ { now = $2 }
    END { printf "  %-15s %6.1f %6.1f\n", name, now / 1024, peak / 1024 }' "/proc/${entry#* }/status"
done
