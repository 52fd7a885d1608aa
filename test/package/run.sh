#!/usr/bin/env bash
# Installs the package as its users would, into empty projects: ES modules, require, TypeScript, Vite, the command line. Needs a build.
# Packages come from npm's cache where they are there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ONNXRUNTIME_NODE_INSTALL=skip npm_config_prefer_offline=true npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false

# A line that is said of each thing that works.
works() { echo "works: $1"; }
fails() { echo "FAILS: $1" >&2 && exit 1; }
# said TEXT COMMAND...: the command says so, whether it ends well or not.
said() {
  local told
  told=$("${@:2}" 2>&1) || true
  [[ $told == *"$1"* ]] || fails "${*:2} does not say \"$1\": $told"
}
project() { mkdir "$work/$1" && cd "$work/$1" && echo '{ "private": true, "type": "module" }' >package.json; }

cd "$root"
tarball=$work/$(npm pack --silent --ignore-scripts --pack-destination "$work")

project core
npm install --silent "$tarball"
# What is downloaded but the engine: its archives' sizes, as archives of what was installed.
bytes=$(tar --exclude='onnxruntime*' --exclude=.bin -czf - -C node_modules . | wc -c)
echo "without the engine: $((bytes / 1000)) kB packed, $(du -sk --apparent-size --exclude='onnxruntime*' node_modules | cut -f1) KiB unpacked"
[ "$bytes" -lt 6500000 ] || fails "more than 6.5 MB without the engine"
for absent in sharp vega vega-lite dejavu-fonts-ttf wabt fastify emoji-datasource-twitter fast-check; do
  [ ! -e "node_modules/$absent" ] || fails "$absent is installed along"
done
works 'only the core is installed'

cat >esm.js <<'JS'
import { evaluate, orThrow, pipe, square, sum, vector, writePicture } from 'latentgraph'
import { float } from 'latentgraph/browser'
const { y } = await orThrow(evaluate({ y: pipe(vector([1, 2, 3]), square, sum()) }))
console.log('y', y.data[0], float(2).dtype)
await orThrow(writePicture('a.png', { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) }))
JS
said 'y 14 float32' node esm.js
said 'npm install sharp' node esm.js
works 'ES modules; what is missing is asked for by name'
cat >cjs.cjs <<'JS'
const { evaluate, orThrow, pipe, square, sum, vector } = require('latentgraph')
orThrow(evaluate({ y: pipe(vector([1, 2, 3]), square, sum()) })).then(({ y }) => console.log('y', y.data[0]))
JS
said 'y 14' node cjs.cjs
works require
said fast-check node --input-type=module -e "import 'latentgraph/laws'"
node --enable-source-maps --input-type=module -e "
  import { readFileSync } from 'node:fs'
  const { sources, sourcesContent } = JSON.parse(readFileSync('node_modules/latentgraph/dist/src/index.js.map', 'utf8'))
  if (sourcesContent?.length !== sources.length) process.exit(1)" || fails 'source maps have no sources'
works 'source maps have their sources'

said 'onnx:cpu' npx latentgraph doctor
npx latentgraph check node_modules/latentgraph/graphs/published/stable-diffusion-v1.json >/dev/null
said 'npm install sharp' npx latentgraph start
tiny=(train node_modules/latentgraph/graphs/tiny.json --set '/data={"kind":"shapes","size":16,"count":40}' --set '/diffusion/conditioning={"kind":"none"}' --set /sampling/guidance=1 --out run)
said 'npm install sharp' npx latentgraph "${tiny[@]}"
npm install --silent sharp wabt
said 'npm install emoji-datasource-twitter' npx latentgraph start
said 'npm install vega vega-lite dejavu-fonts-ttf' npx latentgraph "${tiny[@]}"
[ -s run/report.html ] && [ -s run/samples.png ] || fails 'no report, or no samples'
said 'npm install fastify' npx latentgraph serve run
npx latentgraph sample run --out drawn.png --count 1 >/dev/null && [ -s drawn.png ]
works 'the command line'

project typescript
npm install --silent "$tarball" "$(node -p "'typescript@' + require('$root/package.json').devDependencies.typescript")" "@types/node@20"
cat >program.ts <<'TS'
import { type Checked, evaluate, float, type Graph, freeze, input, nn, orThrow, pipe, type Tensor } from 'latentgraph'
import { onnx } from 'latentgraph/browser'

const x: Tensor = input('x', float(2, 3))
const graph: Checked<Graph> = freeze({ y: pipe(x, nn.linear('head', { out: 1 })) })
export const found: Promise<number | undefined> = orThrow(evaluate({ x })).then((values) => values.x.data[0])
export const made = [graph, onnx]
TS
for how in 'nodenext nodenext' 'esnext bundler' 'preserve bundler'; do
  read -r module resolution <<<"$how"
  npx tsc --noEmit --strict --target es2022 --module "$module" --moduleResolution "$resolution" --types node --skipLibCheck program.ts || fails "TypeScript, $how"
done
works 'TypeScript: nodenext, bundler'

project vite
npm install --silent "$tarball" "$(node -p "'vite@' + require('$root/package.json').devDependencies.vite")"
echo '<script type="module" src="/page.js"></script>' >index.html
cat >page.js <<'JS'
import { float, freeze, input, pipe, reference, square } from 'latentgraph/browser'
document.body.textContent = JSON.stringify([freeze({ y: pipe(input('x', float(2)), square) }), reference.name])
JS
npx vite build --logLevel warn || fails Vite
grep -qr 'float32' dist/assets || fails 'Vite left the library out'
works Vite
