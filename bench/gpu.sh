#!/usr/bin/env bash
# One script for a machine with a card: what runs on it, whether it is right, how fast beside PyTorch and JAX. docs/gpus.md says more.
#
#   bench/gpu.sh [--out DIR] [--python PROGRAM] [--minutes N] [--executors NAMES] [--small]
#   bench/gpu.sh --bundle FILE     packs what a machine without network must be given; there: tar -xJf FILE && latentgraph/bench/gpu.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
node=$root/node
[ -x "$node" ] || node=$(command -v node) || { echo 'no Node: install Node 20 or later, or use a bundle' >&2 && exit 2; }
if [ ! -f "$root/dist/bench/gpu/main.js" ]; then
  [ -f "$root/node_modules/typescript/bin/tsc" ] || { echo "not built: npm ci in $root" >&2 && exit 2; }
  (cd "$root" && "$node" node_modules/typescript/bin/tsc -p tsconfig.build.json --noCheck)
fi
exec "$node" "$root/dist/bench/gpu/main.js" "$@"
