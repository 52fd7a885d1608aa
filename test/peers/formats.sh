#!/usr/bin/env bash
# What we write for others, read by their own programs, from PyPI in a virtual environment outside the tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PEERS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$work/venv"
  python="$work/venv/bin/python"
  "$python" -m pip install --quiet onnx onnxruntime tensorboard pillow
fi
lg() { node dist/src/cli/main.js "$@"; }
lg train graphs/tiny.json --out "$work/run" --tensorboard
lg export "$work/run" --onnx "$work/onnx"
lg sample "$work/run" --class Objects --count 1 --seed 11 --out "$work/drawn/"
label=$(node -e 'console.log(JSON.parse(require("fs").readFileSync(process.argv[1])).classes.indexOf("Objects"))' "$work/run/latents.json")
"$python" test/peers/formats.py "$work/run" "$work/onnx" "$work/drawn/1.png" 11 "$label"
