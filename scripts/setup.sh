#!/usr/bin/env bash
# Makes a fresh Debian or Ubuntu ready to build, test and run cedana. Safe to run again: what is there is left alone,
# and when nothing is missing it takes about a second.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

sudo=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "needs root (or sudo) to install packages and CRIU"
  sudo=(sudo)
fi
command -v npm >/dev/null || die "needs Node 20 or newer with npm"

# iptables: CRIU holds TCP connections still with it. iproute2: a restored container's loopback. ceph-mon, ceph-osd and
# radosgw: the S3 server of the tests. busybox-static: the containers of the tests. The others are clients and tools of the
# tests.
packages=(busybox-static ca-certificates ceph-mon ceph-osd curl iproute2 iptables lz4 pigz procps protobuf-compiler python3-grpcio python3-protobuf radosgw tmux util-linux zstd)
# Where Docker's own packages are, Debian's would take their place.
command -v runc >/dev/null || packages+=(runc)
command -v containerd >/dev/null || packages+=(containerd)
command -v dockerd >/dev/null || packages+=(docker.io)
missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  "${sudo[@]}" apt-get -q update >&2 || say "apt-get update failed; trying with the package lists there are"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}" >&2
fi

# npm notes what it has installed in node_modules/.package-lock.json.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "installing npm packages"
  npm ci --no-audit --no-fund >&2
  touch node_modules/.package-lock.json
fi
# Where npm is told to run no install scripts, Bun's own has not put its program in place.
node_modules/.bin/bun --version >/dev/null 2>&1 || node node_modules/bun/install.js >&2

node_modules/.bin/bun scripts/build.ts

# `check` exits 1 for whatever this host lacks; here only a CRIU that works is asked for.
unready=$(dist/cedana check --quiet 2>/dev/null </dev/null) || true
if grep -qx 'criu found' <<<"$unready"; then
  say "installing a private CRIU"
  "${sudo[@]}" dist/cedana plugin install criu >&2
fi
