#!/bin/bash
# A sweep as a Slurm array, and its merge as a job that depends on it:
#
#   job=$(sbatch --parsable --array=0-7 slurm.sh scenario.toml results)
#   sbatch --dependency=afterany:"$job" --wrap 'sim merge results -o all.jsonl'
#
# The index and the number of shards come from Slurm's variables. A task that is preempted or out of time is interrupted a
# minute before its end and requeued; it goes on with what is missing. A finding (exit code 1) is not repeated.
#SBATCH --job-name=sim
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --open-mode=append
#SBATCH --output=sim-%A-%a.log
set -u
scenario=$1 results=$2
"${SIM:-sim}" run "$scenario" --out "$results" --quiet &
sim=$!
# bash runs a trap only between commands, hence the simulator in the background.
trap 'kill -TERM "$sim"' TERM
wait "$sim"
code=$?
# A trap ends the first wait; the second one has the exit code.
if [ "$code" -gt 128 ]; then wait "$sim"; code=$?; fi
if [ "$code" = 3 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
