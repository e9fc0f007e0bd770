#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Measures us and the peers in one run on one journaled file system, and writes docs/performance-tables.md and docs/plots/*.svg.
# usage (as root): bench/measure.sh [ROUNDS] [SERVERS]     e.g. bench/measure.sh 3 smtp-sink,postfix,haraka,ours
# Needs some 20 minutes on an otherwise idle machine. The peers are unpacked, not installed; all traffic is on loopback.
set -eu
cd "$(dirname "$0")"
rounds=${1:-3} servers=${2:-smtp-sink,postfix,ours} tests=${3:-accept,maildir,relay,latency,tls,idle}
export BENCH=${BENCH:-/var/tmp/portiere-bench} OURS=${OURS:-$PWD/../build}
export LD_LIBRARY_PATH=$BENCH/pkg/postfix/usr/lib/postfix
[ -x "$OURS/portiere" ] || { echo "measure: build first: ./run --check" >&2; exit 2; }
env -u LD_LIBRARY_PATH ./setup.sh postfix $(case $servers in *haraka*) echo haraka ;; esac) >/dev/null
./fs.sh up "${GIB:-6}"
out=$BENCH/results-$(date +%H%M).jsonl
./resolver.sh /usr/bin/python3 ./bench.py --servers "$servers" --tests "$tests" --tune shipped,tuned --rounds "$rounds" --idle 1000,10000 --out "$out"
mkdir -p ../docs/plots
/usr/bin/python3 report.py "$out" >../docs/performance-tables.md
/usr/bin/python3 plots.py ../docs/plots "$out"
./fs.sh down
echo "measure: $out"
