#!/usr/bin/env bash
# npm test: set-up, linters, every test file in parallel, and a look at what they left behind.
# The last line is "N passed, N failed"; a linter that fails counts as one, and so does each thing left behind.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

work=$(mktemp -d /tmp/cedana-test-run-XXXXXX)
failed=0

# A restored process has its old pid again, which another test's may have by then on a host that counts to 32768 only.
pid_max=/proc/sys/kernel/pid_max
pids=$(cat "$pid_max")
cleanup() {
  rm -rf "$work"
  [ "$(cat "$pid_max")" = "$pids" ] || echo "$pids" >"$pid_max"
}
trap cleanup EXIT
[ "$pids" -ge 4194304 ] || echo 4194304 2>/dev/null >"$pid_max" || true

# finish PASSED: the last line, and the exit status.
finish() {
  printf '%s passed, %s failed\n' "$1" "$failed"
  [ "$failed" -eq 0 ]
  exit
}

# step NAME COMMAND…: quiet unless it fails.
step() {
  local name=$1
  shift
  if "$@" >"$work/step.log" 2>&1; then
    printf 'ok    %s\n' "$name"
  else
    failed=$((failed + 1))
    cat "$work/step.log"
    printf 'FAIL  %s\n' "$name"
  fi
}

generated_is_current() {
  buf generate --output "$work/gen" && diff -r "$work/gen/src/gen" src/gen
}

# Our programs that run: those of this checkout's binary (also of one replaced since), and CRIU.
ours() {
  local exe link pid
  for exe in /proc/[0-9]*/exe; do
    link=$(readlink "$exe" 2>/dev/null) || continue
    pid=${exe#/proc/}
    pid=${pid%/exe}
    case "$link" in
      "$PWD/dist/cedana" | "$PWD/dist/cedana (deleted)" | */sbin/criu) echo "$pid" ;;
      */ld-linux-*) tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q '/sbin/criu ' && echo "$pid" ;;
    esac
  done | sort
}
mounts() { awk '{ print $5 }' /proc/self/mountinfo | sort; }
files() { find /tmp /var/log -maxdepth 1 -name 'cedana-*' ! -path "$work" | sort; }

# left_behind NAME COMMAND: what COMMAND lists now and did not before. Processes get a moment to end.
left_behind() {
  local name=$1 new try
  for try in 1 2 3 4 5 6 7 8 9 10; do
    new=$(comm -13 "$work/$name.before" <("$name"))
    [ -z "$new" ] && return
    sleep 0.5
  done
  failed=$((failed + $(wc -l <<<"$new")))
  while read -r each; do
    [ "$name" = ours ] && each="$each $(tr '\0' ' ' <"/proc/$each/cmdline" 2>/dev/null)"
    printf 'LEFT  %s: %s\n' "$name" "$each"
  done <<<"$new"
}

if ! scripts/setup.sh; then
  failed=1
  finish 0
fi
export PATH="$PWD/node_modules/.bin:$PATH"

step "biome" biome check --error-on-warnings
step "tsc" tsc -p . --noEmit
step "buf lint" buf lint
step "buf format" buf format --diff --exit-code
step "generated code" generated_is_current

for name in ours mounts files; do "$name" >"$work/$name.before"; done
bun test --parallel --timeout 120000 "$@" 2>&1 | tee "$work/tests.log"
status=${PIPESTATUS[0]}
passed=$(sed -n 's/^ *\([0-9]\+\) pass$/\1/p' "$work/tests.log" | tail -1)
broken=$(sed -n 's/^ *\([0-9]\+\) fail$/\1/p' "$work/tests.log" | tail -1)
errors=$(sed -n 's/^ *\([0-9]\+\) errors\?$/\1/p' "$work/tests.log" | tail -1)
failed=$((failed + ${broken:-0} + ${errors:-0}))
# A run that ended badly and counted nothing is a failure all the same.
[ "$status" -eq 0 ] || [ "$((${broken:-0} + ${errors:-0}))" -gt 0 ] || failed=$((failed + 1))
for name in ours mounts files; do left_behind "$name"; done
finish "${passed:-0}"
