/** The style sheet of the report. */
export const style = `
:root { --ink: #1f2328; --quiet: #59636e; --line: #d8dee4; --paper: #fff; --wash: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --quiet: #9198a1; --line: #30363d; --paper: #161b22; --wash: #0d1117; } }
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
.charts > div { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 0.8rem; }
.charts img { width: 100%; }
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
