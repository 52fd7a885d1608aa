/** The style sheet of the report. */
export const style = `
:root { --ink: #1f2328; --quiet: #59636e; --line: #d8dee4; --paper: #fff; --wash: #f6f8fa;
  --c0: #2f6f9f; --c1: #b3541e; --c2: #1a7f37; --c3: #8250df; --c4: #9a6700; --c5: #bf3989; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9198a1; --line: #30363d; --paper: #161b22; --wash: #0d1117;
  --c0: #79b8ff; --c1: #ffab70; --c2: #7ee787; --c3: #d2a8ff; --c4: #e3b341; --c5: #f778ba; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 64rem; margin: 2rem auto; padding: 2.5rem 3rem; background: var(--paper); border: 1px solid var(--line); border-radius: 12px; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; letter-spacing: -0.02em; }
header p { margin: 0.4rem 0 0; color: var(--quiet); }
h2 { margin: 0 0 0.8rem; font-size: 1.15rem; }
section { margin-top: 2.5rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: 1px; margin: 1.8rem 0 0;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.facts div { padding: 0.9rem 1.1rem; background: var(--paper); }
.facts dt { color: var(--quiet); font-size: 0.82rem; }
.facts dd { margin: 0; font-size: 1.5rem; font-weight: 600; letter-spacing: -0.01em; }
.facts small { display: block; color: var(--quiet); font-size: 0.8rem; font-weight: 400; letter-spacing: 0; }
figure { margin: 0; }
figcaption { margin-top: 0.6rem; color: var(--quiet); font-size: 0.88rem; }
img { display: block; max-width: 100%; height: auto; }
.rows { display: flex; align-items: stretch; gap: 0.9rem; }
.rows img { min-width: 0; align-self: flex-start; border: 1px solid var(--line); border-radius: 6px; }
.rows ol { display: flex; flex: none; flex-direction: column; margin: 0; padding: 0; list-style: none; }
.rows li { display: flex; flex: 1 1 0; align-items: center; justify-content: flex-end; color: var(--quiet); font-size: 0.85rem; text-align: right; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1.4rem; }
.chart figcaption { margin: 0 0 0.3rem; } .chart b { color: var(--ink); font-weight: 600; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; } .chart text { fill: var(--quiet); font-size: 10px; } .chart line { stroke: var(--line); }
.chart polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; } .chart .faint { stroke-width: 1; opacity: 0.3; }
.key::before { content: ""; display: inline-block; width: 0.9em; height: 0.2em; margin: 0 0.35em 0.25em 0.5em; background: currentColor; } .key { white-space: nowrap; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); }
polyline[class] { stroke: currentColor; } circle[class] { fill: currentColor; }
.zoom { display: block; min-width: 0; cursor: zoom-in; } .zoom input { position: absolute; opacity: 0; }
.zoom:has(:focus-visible) img { outline: 2px solid var(--c0); outline-offset: 2px; }
.zoom:has(:checked) { position: fixed; inset: 0; z-index: 9; overflow: auto; padding: 1rem; background: var(--paper); cursor: zoom-out; }
.zoom:has(:checked) img { width: auto; min-width: min(100%, 60rem); height: auto; max-width: none; margin: auto; image-rendering: pixelated; }
.strip { display: flex; gap: 0.6rem; overflow-x: auto; padding: 3px; } .strip > div { flex: none; }
.strip img { max-height: 11rem; width: auto; max-width: none; border: 1px solid var(--line); border-radius: 6px; } .strip small { color: var(--quiet); }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1.4rem; } .beside figcaption { margin: 0 0 0.4rem; overflow-wrap: anywhere; }
progress { width: 100%; } progress + .strip, progress + .charts, .strip + .charts { margin-top: 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 0.8rem; background: var(--wash); border: 1px solid var(--line); border-radius: 6px; }
details { margin-top: 1.2rem; } summary { cursor: pointer; color: var(--quiet); } details td { text-align: left; overflow-wrap: anywhere; } details th { text-align: left; }
.wide { overflow-x: auto; }
.facts + .wide, .made + .wide { margin-top: 1.2rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
th, td { padding: 0.45rem 0.8rem 0.45rem 0; border-bottom: 1px solid var(--line); text-align: right; }
th { color: var(--quiet); font-weight: 400; font-size: 0.82rem; }
th:first-child, td:first-child { text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
code { font: 0.88em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.made { margin: 0.8rem 0 0; color: var(--quiet); font-size: 0.88rem; }
.next { margin: 0; }
.next dt { margin-top: 0.8rem; font-size: 0.92rem; }
.next dd { margin: 0.25rem 0 0; padding: 0.55rem 0.8rem; background: var(--wash); border: 1px solid var(--line); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--quiet); font-size: 0.82rem; }
@media (max-width: 40rem) {
  main { margin: 0; padding: 1.2rem; border: 0; border-radius: 0; }
  .facts { grid-template-columns: 1fr 1fr; }
  .facts dd { font-size: 1.2rem; }
  .rows { gap: 0.5rem; }
  .rows ol { max-width: 5.5rem; }
  .rows li { font-size: 0.65rem; line-height: 1.1; }
}
@media print { body { background: none; } main { margin: 0; border: 0; } section { break-inside: avoid; } }
`
