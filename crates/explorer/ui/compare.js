// Several runs side by side: the same inputs, the same codes.
import { html, useEffect, useMemo, useRef, useState } from "/ui/vendor/preact-htm.js";
import { each, newest, of, pictures } from "/ui/api.js";
import { ClassChoice, IN_TURN, has, lacks, toldClass } from "/ui/needs.js";
import { Badge, Picture, Trouble, Waiting, duration, heldOut, judged, number, termNames, useLoaded } from "/ui/parts.js";

const SHOWN = 10;

export function Compare({ run, runs }) {
  const able = runs.filter((one) => one.weights && !one.columns);
  const [chosen, setChosen] = useState(() => [run, ...able.filter((one) => one.id !== run.id && one.data === run.data)].slice(0, 3).map((one) => one.id));
  const toggle = (id) => setChosen((old) => (old.includes(id) ? old.filter((other) => other !== id) : [...old, id]));
  const columns = able.filter((one) => chosen.includes(one.id));
  const terms = termNames(columns.map((one) => one.last));
  const data = [...new Set(columns.map((one) => one.data))];
  // ELBOs compare on the same examples under the same measure; losses across betas never do.
  const measures = [...new Set(columns.map((one) => one.measure))];
  const comparable = measures.length === 1 && measures[0] !== null;
  const elbos = columns.map((one) => one.test?.elbo).filter((elbo) => elbo !== undefined);
  const highest = comparable && columns.length > 1 && elbos.length === columns.length ? Math.max(...elbos) : undefined;
  const cautions = [...new Set(columns.map((one) => one.caution).filter(Boolean))];
  const ranked = highest === undefined ? columns : [...columns].sort((a, b) => b.test.elbo - a.test.elbo);
  const symbolic = columns.filter((one) => has(one, "discrete"));
  const decoding = columns.filter((one) => !lacks(one, ["decode"]));
  const [page, setPage] = useState(0);
  return html`
    <div class="title"><h1>Compare</h1><p class="quiet">the same examples and the same seeds through several models</p></div>
    <div class="chips" role="group" aria-label="Runs">${able.map((one) => html`<button type="button" class="chip" aria-pressed=${chosen.includes(one.id)} onClick=${() => toggle(one.id)}>${one.name}</button>`)}</div>
    ${columns.length < 2 && html`<p class="card quiet">Choose two runs or more.</p>`}
    ${columns.length > 0 && html`
      <section class="card scroll" aria-label="Numbers"><table>
        <thead><tr><th scope="col">run</th><th scope="col" class="words">model</th><th scope="col">beta</th><th scope="col">ELBO</th>${terms.map((name) => html`<th scope="col">${name}</th>`)}<th scope="col">epochs</th><th scope="col">time</th></tr></thead>
        <tbody>${ranked.map((one) => {
          const [found] = judged(one);
          const elbo = comparable && one.test?.elbo !== undefined ? number(one.test.elbo) : "–";
          return html`<tr><th scope="row">${one.name} ${one.live && html`<${Badge} run=${one} />`}</th><td class="words">${one.model}</td><td>${one.beta === null ? "–" : number(one.beta)}</td><td>${highest !== undefined && one.test.elbo === highest ? html`<b>${elbo}</b>` : elbo}</td>${terms.map((name) => html`<td>${number(found?.[name])}</td>`)}<td>${one.epochs}</td><td>${duration(one.seconds)}</td></tr>`;
        })}</tbody></table>
        <p class="hint">${columns.every((one) => one.unit === columns[0].unit) ? `in ${columns[0].unit}, over the test split where the run has ended` : "in different units: these losses do not compare with each other"}${comparable ? "; ELBO is −(recon + KL) whatever beta is, higher is better" : "; their ELBOs do not compare: other data, held-out examples, likelihood or measure, or no KL term"}</p>
        ${cautions.map((caution) => html`<p class="hint">${caution}</p>`)}
      </section>
      ${data.length === 1
        ? html`<section class="card" aria-label="Reconstructions"><div class="row spread"><h2>The same examples</h2><button type="button" onClick=${() => setPage(page + 1)}>Others</button></div><${Reconstructions} runs=${columns.filter((one) => !lacks(one, ["redraw"]))} page=${page} /></section>`
        : html`<p class="card quiet">These runs were trained on different data, so no example is shown to all of them.</p>`}
      ${decoding.length > 0 && html`<${SameCode} runs=${decoding} />`}
      ${symbolic.length > 0 && html`<p class="card quiet">${symbolic.map((one) => one.name).join(", ")}: codes that are symbols of a run's own codebook, which mean nothing to another run. Codebook shows them.</p>`}
      <section class="card" aria-label="Samples"><h2>The same seed</h2><div class="columns">${columns.filter((one) => !lacks(one, ["draw"])).map((one) => html`<${Samples} key=${one.id} run=${one} seed=${page} />`)}</div></section>`}`;
}

function Reconstructions({ runs, page }) {
  const held = Math.min(...runs.map(heldOut));
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
  const loaded = useLoaded(() => pictures(`${of(run)}/sample`, { n: 25, seed, ...(has(run, "discrete") ? {} : { sampler: "normal", class: toldClass(run, IN_TURN) }) }), [run.id, seed, run.live ? run.epochs : 0]);
  return html`<figure><figcaption>${run.name}</figcaption><${Trouble} error=${loaded.error} /><div class="sheet five">${loaded.value && each(loaded.value).map((picture, i) => html`<${Picture} key=${i} picture=${picture} label="A sample" />`)}</div></figure>`;
}

/** How far the pad reaches, in standard deviations of the prior. */
const REACH = 3;
/** Where its edge is, so that the cursor is seen whole. */
const EDGE = 1.05;

/** One cursor over two dimensions of the code, decoded by every run whose codes are as long. */
function SameCode({ runs }) {
  const sizes = [...new Set(runs.map((run) => run.latent))];
  const [wanted, setSize] = useState(null);
  // The size that most of the runs share.
  const usual = [...sizes].sort((a, b) => runs.filter((run) => run.latent === b).length - runs.filter((run) => run.latent === a).length)[0];
  const latent = sizes.includes(wanted) ? wanted : usual;
  const able = runs.filter((run) => run.latent === latent);
  const [dims, setDims] = useState([0, 1]);
  const [at, setAt] = useState([0, 0]);
  const [told, setTold] = useState(0);
  const conditional = able.find((run) => run.conditional);
  const [across, up] = dims.map((dim) => Math.min(dim, latent - 1));
  const code = Array.from({ length: latent }, (_, dim) => (dim === across ? at[0] : dim === up ? at[1] : 0));
  const text = (value) => number(value).replace("-", "−");
  const choose = (axis) => html`<label class="field">${axis === 0 ? "across" : "up"} <select value=${dims[axis]} onChange=${(event) => setDims(dims.map((dim, i) => (i === axis ? Number(event.target.value) : dim)))}>
    ${Array.from({ length: latent }, (_, dim) => html`<option value=${dim} selected=${dim === [across, up][axis]}>z${dim}</option>`)}</select></label>`;
  return html`<section class="card same" aria-label="The same code">
    <div class="row spread"><h2>The same code</h2><div class="row wrap">
      ${sizes.length > 1 && html`<label class="field">codes of <select value=${latent} onChange=${(event) => setSize(Number(event.target.value))}>${sizes.map((size) => html`<option value=${size} selected=${size === latent}>${size} dimensions</option>`)}</select></label>`}
      ${latent > 2 && [0, 1].map(choose)}
      ${conditional && html`<${ClassChoice} run=${conditional} value=${told} onChange=${setTold} />`}
    </div></div>
    <div class="shared">
      <figure><${Pad} at=${at} onMove=${setAt} names=${[`z${across}`, `z${up}`]} /><figcaption class="quiet numbers">z${across} = ${text(at[0])}, z${up} = ${text(at[1])}${latent > 2 && ", all others 0"}</figcaption></figure>
      ${able.map((run) => html`<${AtCode} key=${run.id} run=${run} code=${code} told=${run.conditional && run.classes[told] !== undefined ? told : undefined} />`)}
    </div>
    ${able.length < runs.length && html`<p class="hint">${runs.filter((run) => run.latent !== latent).map((run) => run.name).join(", ")}: codes of another length.</p>`}
  </section>`;
}

/** What a run draws for a code. */
function AtCode({ run, code, told }) {
  const [picture, setPicture] = useState(null);
  const decode = useMemo(() => newest(async (z, told) => setPicture(await pictures(`${of(run)}/decode`, { z: [z], class: told }))), [run.id]);
  useEffect(() => { decode(code, told); }, [decode, code.join(), told, run.live ? run.epochs : 0]);
  return html`<figure><${Picture} picture=${picture} label=${`What ${run.name} draws for this code`} /><figcaption>${run.name}</figcaption></figure>`;
}

/** A square to drag a cursor over, with the prior's circles at 1, 2 and 3 standard deviations. */
function Pad({ at, onMove, names }) {
  const pad = useRef();
  const held = useRef(false);
  const place = (event) => {
    const box = pad.current.getBoundingClientRect();
    const along = (share) => Math.max(-REACH, Math.min(REACH, (share * 2 - 1) * REACH * EDGE));
    onMove([along((event.clientX - box.left) / box.width), -along((event.clientY - box.top) / box.height)]);
  };
  const keys = (event) => {
    const step = event.shiftKey ? 0.5 : 0.1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    const move = event.key === "0" ? at.map((value) => -value) : moves[event.key];
    if (!move) return;
    event.preventDefault();
    onMove(at.map((value, axis) => Math.max(-REACH, Math.min(REACH, value + move[axis]))));
  };
  return html`<svg ref=${pad} class="pad" viewBox="-105 -105 210 210" tabindex="0" role="application" aria-label=${`Cursor over ${names.join(" and ")}. Arrow keys move it, 0 leads back to the middle.`}
    onPointerDown=${(event) => { pad.current.setPointerCapture(event.pointerId); held.current = true; place(event); }} onPointerMove=${(event) => held.current && place(event)}
    onPointerUp=${() => { held.current = false; }} onPointerCancel=${() => { held.current = false; }} onKeyDown=${keys}>
    <path d="M-100 0H100M0-100V100" />${[1, 2, 3].map((radius) => html`<circle r=${(radius * 100) / REACH} />`)}
    <text x="98" y="-4" text-anchor="end">${names[0]}</text><text x="5" y="-92">${names[1]}</text>
    <g class="hand" transform=${`translate(${(at[0] * 100) / REACH} ${(-at[1] * 100) / REACH})`}><circle r="7" /><path d="M-12 0H-7M7 0H12M0-12V-7M0 7V12" /></g>
  </svg>`;
}
