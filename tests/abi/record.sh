#!/bin/sh
# Records the ABI of libtunnel2.so as it is now in abi/: what abidiff reads (libtunnel2.abi), and the same for people
# (abi.txt: functions, structs with sizes and offsets, values of enums). Run it when you have added to the API, look at
# `git diff abi/abi.txt`, and commit it with what you added. tests/abi/check.py compares.
#
#   tests/abi/record.sh            builds the release preset's library first
#   tests/abi/record.sh LIBRARY    of this library, which has debugging information
set -eu
cd "$(dirname "$0")/../.."
if [ $# -eq 0 ]; then
  [ -f build/release/build.ninja ] || cmake --preset release >/dev/null
  said=$(cmake --build build/release --target tunnel2) || {
    printf '%s\n' "$said" >&2
    exit 1
  }
fi
python3 tests/abi/check.py record "${1:-build/release/lib/libtunnel2.so}"
