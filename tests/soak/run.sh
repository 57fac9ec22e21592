#!/bin/sh
# The long run: the real programs under a steady load of every kind while faults drawn from a seed hit them, and an
# account of every request at the end. Exit status 1: a failure that no fault explains, a POST delivered twice, or growth.
#
#   tests/soak/run.sh [MINUTES] [--seed N] [--rate N] ...      (--help has the rest)
#
# Runs the release build's programs, building them if need be; T2_BIN names others. The Python environment is that of
# tests/run.sh, or what T2_PYTHON names.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${T2_PYTHON:-$root/build/venv/bin/python}
[ -x "$python" ] || {
  echo "tests/soak/run.sh: no $python: run tests/run.sh soak first, or set T2_PYTHON" >&2
  exit 1
}
if [ -z "${T2_BIN:-}" ]; then
  (cd "$root" && cmake --preset release && cmake --build --preset release) >&2
fi
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/soak.py" "$@"
