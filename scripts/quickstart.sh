#!/usr/bin/env bash
# npm run quickstart: from a fresh machine to a job that was ended by its checkpoint and counts on after its restore.
# Everything it starts or writes is in a folder of its own and gone when it ends.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=PATH "$0" "$@"

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# show COMMAND…: as it would be typed, then its output.
show() {
  printf '$ cedana %s\n' "$*"
  "$cedana" "$@"
}

scripts/setup.sh

cedana=$PWD/dist/cedana
work=$(mktemp -d /tmp/cedana-quickstart-XXXXXX)
count=$work/count.log
# A daemon of our own: another one on this host is not touched.
export CEDANA_ADDRESS=$work/cedana.sock CEDANA_PROTOCOL=unix
export CEDANA_DB_PATH=$work/jobs.db CEDANA_CHECKPOINT_DIR=$work CEDANA_WAIT_FOR_READY=true
mkdir "$work/config"

daemon=
cleanup() {
  local status=$?
  trap - EXIT
  if [ -n "$daemon" ]; then
    "$cedana" job kill counting >/dev/null 2>&1 || true
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  if [ "$status" -ne 0 ] && [ -s "$work/daemon.log" ]; then
    printf '\nThe daemon said:\n' >&2
    tail -n 20 "$work/daemon.log" >&2
  fi
  # The daemon's folder in /run is named after its database.
  rm -rf "$work" "/run/cedana/$(printf %s "$work/jobs.db" | sha256sum | cut -c 1-12)"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

last_count() { tail -n 1 "$count" 2>/dev/null || true; }
# counts_past N: waits until the job has written a number above N.
counts_past() {
  local try now
  for try in $(seq 100); do
    now=$(last_count)
    [ "${now:-0}" -gt "$1" ] && return
    sleep 0.1
  done
  printf 'quickstart: the job does not count past %s\n' "$1" >&2
  exit 1
}

"$cedana" daemon start --config-dir "$work/config" >"$work/daemon.log" 2>&1 &
daemon=$!

say "1. Run a job that counts"
show run process --jid counting --out "$count" -- sh -c 'n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done'
counts_past 5
show ps

say "2. Checkpoint it: its memory and files go to disk, and it ends"
show dump job counting
stopped=$(last_count)
sleep 1
[ "$(last_count)" = "$stopped" ] || { printf 'quickstart: the job still counts after its dump\n' >&2; exit 1; }
show ps
printf 'It counted to %s.\n' "$stopped"

say "3. Restore it: it goes on where it was"
show restore job counting
counts_past $((stopped + 3))
show ps
printf 'It counts on: %s\n' "$(sed -n "/^$stopped\$/,\$p" "$count" | head -n 5 | paste -sd ' ' -)"

say "It works. The binary is dist/cedana; start a daemon with: cedana daemon start"
