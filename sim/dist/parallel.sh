#!/bin/sh
# A sweep with GNU parallel, on this machine or, with --sshloginfile, on several that share the directory:
#
#   sh parallel.sh scenario.toml results 8 [options of parallel]
#
# Repeating the command goes on with what is missing.
set -eu
scenario=$1 results=$2 shards=$3
shift 3
# A shard with findings exits with 1; the others go on, and the results are merged in any case.
parallel --halt never "$@" "${SIM:-sim}" run "$scenario" --out "$results" --quiet --jobs 1 --shard "{}/$shards" ::: $(seq "$shards") || failed=$?
"${SIM:-sim}" merge "$results" -o "$results.jsonl"
exit "${failed:-0}"
