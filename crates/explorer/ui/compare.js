// Several runs side by side: the same inputs, the same codes.
import { html, useEffect, useState } from "/ui/vendor/preact-htm.js";
import { each, of, pictures } from "/ui/api.js";
import { Badge, Picture, Trouble, Waiting, duration, number, useLoaded } from "/ui/parts.js";

const SHOWN = 10;

export function Compare({ run, runs }) {
  const able = runs.filter((one) => one.weights && !one.columns);
  const [chosen, setChosen] = useState(() => [run, ...able.filter((one) => one.id !== run.id && one.data === run.data)].slice(0, 3).map((one) => one.id));
  const toggle = (id) => setChosen((old) => (old.includes(id) ? old.filter((other) => other !== id) : [...old, id]));
  const columns = able.filter((one) => chosen.includes(one.id));
  const data = [...new Set(columns.map((one) => one.data))];
  const [page, setPage] = useState(0);
  return html`
    <div class="title"><h1>Compare</h1><p class="quiet">the same examples and the same seeds through several models</p></div>
    <div class="chips" role="group" aria-label="Runs">${able.map((one) => html`<button type="button" class="chip" aria-pressed=${chosen.includes(one.id)} onClick=${() => toggle(one.id)}>${one.name}</button>`)}</div>
    ${columns.length < 2 && html`<p class="card quiet">Choose two runs or more.</p>`}
    ${columns.length > 0 && html`
      <section class="card scroll" aria-label="Numbers"><table>
        <thead><tr><th scope="col">run</th><th scope="col">model</th><th scope="col">loss</th><th scope="col">recon</th><th scope="col">kl</th><th scope="col">epochs</th><th scope="col">time</th></tr></thead>
        <tbody>${columns.map((one) => {
          const terms = one.test ?? one.last?.validation ?? one.last?.train;
          const best = one.test && columns.every((other) => other.unit === one.unit && (other.id === one.id || !other.test || other.test.loss > one.test.loss));
          return html`<tr><th scope="row">${one.name} ${one.live && html`<${Badge} run=${one} />`}</th><td class="words">${one.model}</td><td>${best ? html`<b>${number(terms.loss)}</b>` : number(terms?.loss)}</td><td>${number(terms?.recon)}</td><td>${number(terms?.kl)}</td><td>${one.epochs}</td><td>${duration(one.seconds)}</td></tr>`;
        })}</tbody></table>
        <p class="hint">${columns.every((one) => one.unit === columns[0].unit) ? `in ${columns[0].unit}, over the test split where the run has ended` : "in different units: these losses do not compare with each other"}</p>
      </section>
      ${data.length === 1
        ? html`<section class="card" aria-label="Reconstructions"><div class="row spread"><h2>The same examples</h2><button type="button" onClick=${() => setPage(page + 1)}>Others</button></div><${Reconstructions} runs=${columns} page=${page} /></section>`
        : html`<p class="card quiet">These runs were trained on different data, so no example is shown to all of them.</p>`}
      <section class="card" aria-label="Samples"><h2>The same seed</h2><div class="columns">${columns.map((one) => html`<${Samples} key=${one.id} run=${one} seed=${page} />`)}</div></section>`}`;
}

function Reconstructions({ runs, page }) {
  const held = Math.min(...runs.map((run) => run.examples[2] || run.examples[1] || run.examples[0]));
  const indices = Array.from({ length: SHOWN }, (_, i) => (page * SHOWN * 7 + i * 37) % held);
  const split = runs.every((run) => run.examples[2]) ? "test" : "train";
  const loaded = useLoaded(async () => {
    const rows = await Promise.all(runs.map(async (run) => each(await pictures(`${of(run)}/reconstruct`, { indices, split }))));
    const originals = await Promise.all(indices.map((index) => pictures(`${of(runs[0])}/examples/${split}/${index}`)));
    return [{ name: "examples", row: originals }, ...rows.map((row, i) => ({ name: runs[i].name, row }))];
  }, [runs.map((run) => run.id).join(), page]);
  if (loaded.error) return html`<${Trouble} error=${loaded.error} />`;
  if (!loaded.value) return html`<${Waiting} />`;
  return html`<div class="matrix scroll">${loaded.value.map(({ name, row }) => html`<div class="matrix-row"><span class="name">${name}</span>${row.map((picture, i) => html`<${Picture} key=${i} picture=${picture} label=${`${name}, example ${indices[i]}`} />`)}</div>`)}</div>`;
}

function Samples({ run, seed }) {
  const loaded = useLoaded(() => pictures(`${of(run)}/sample`, { n: 25, seed, sampler: "normal", temperature: 1 }), [run.id, seed, run.live ? run.epochs : 0]);
  return html`<figure><figcaption>${run.name}</figcaption><${Trouble} error=${loaded.error} /><div class="sheet five">${loaded.value && each(loaded.value).map((picture, i) => html`<${Picture} key=${i} picture=${picture} label="A sample" />`)}</div></figure>`;
}
