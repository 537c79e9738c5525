// One slider for each dimension of the code, the ones that matter first.
import { html, useEffect, useMemo, useRef, useState } from "/ui/vendor/preact-htm.js";
import { each, json, newest, of, pictures } from "/ui/api.js";
import { ClassChoice, has } from "/ui/needs.js";
import { Picture, Trouble, Waiting, number, useLoaded } from "/ui/parts.js";

const STEPS = 9;
/** Classes that a code is shown as. */
const MOST_CLASSES = 24;
const shown = (value) => value.toFixed(1).replace("-", "−");

/** A draw from N(0, 1). */
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

export function Knobs({ run }) {
  // Without an encoder nothing tells the dimensions apart.
  const alike = () => Promise.resolve({ dimensions: Array.from({ length: run.latent }, () => ({ kl: null, mean: 0, std: 1, active: true })) });
  const loaded = useLoaded(() => (has(run, "encode") ? json(`${of(run)}/dimensions`) : alike()), [run.id, run.live ? run.epochs : 0]);
  return html`
    <div class="title"><h1>Knobs</h1><p class="quiet">${run.name}: one slider for each dimension of the code, those that carry most first</p></div>
    <${Trouble} error=${loaded.error} />
    ${loaded.value?.without_data && html`<p class="hint">Measured in training: the run's data cannot be opened now, and decoding needs none. ${loaded.value.without_data}</p>`}
    ${loaded.value ? html`<${Panel} run=${run} found=${loaded.value} />` : !loaded.error && html`<${Waiting}>Measuring the dimensions<//>`}`;
}

function Panel({ run, found }) {
  // Codes that have a prior lie around 0 with deviation 1, others where they like.
  const prior = has(run, "prior");
  const knobs = useMemo(() => found.dimensions.map((dimension, dim) => ({ ...dimension, dim, weight: dimension.kl ?? dimension.std ** 2, low: prior ? -3 : dimension.mean - 3 * dimension.std, high: prior ? 3 : dimension.mean + 3 * dimension.std, rest: prior ? 0 : dimension.mean })).sort((a, b) => b.weight - a.weight), [found]);
  const rest = useMemo(() => found.dimensions.map((dimension) => (prior ? 0 : dimension.mean)), [found]);
  const [code, setCode] = useState(rest);
  const [locked, setLocked] = useState(new Set());
  const [hand, setHand] = useState(knobs[0].dim);
  const [picture, setPicture] = useState(null);
  const [strip, setStrip] = useState([]);
  const [problem, setProblem] = useState(null);
  const [copied, setCopied] = useState(false);
  const latest = useRef({});
  const [told, setTold] = useState(run.conditional ? 0 : undefined);
  const [classes, setClasses] = useState([]);
  const decode = useMemo(() => newest(async (z, told) => setPicture(await pictures(`${of(run)}/decode`, { z: [z], class: told }))), [run.id]);
  const walk = useMemo(() => newest(async (z, dim, values, told) => {
    const codes = values.map((value) => z.map((old, i) => (i === dim ? value : old)));
    setStrip(each(await pictures(`${of(run)}/decode`, { z: codes, class: told })));
  }), [run.id]);
  const asEach = useMemo(() => newest(async (z) => {
    const shown = run.classes.slice(0, MOST_CLASSES);
    setClasses(each(await pictures(`${of(run)}/decode`, { z: shown.map(() => z), class: shown.map((_, place) => place) })));
  }), [run.id]);
  const knob = knobs.find((one) => one.dim === hand);
  const values = Array.from({ length: STEPS }, (_, step) => knob.low + ((knob.high - knob.low) * step) / (STEPS - 1));
  useEffect(() => { decode(code, told); }, [code, told, found]);
  useEffect(() => { if (run.conditional) asEach(code); }, [code, found]);
  // The strip depends on all knobs but the one it walks along.
  useEffect(() => { walk(code, hand, values, told); }, [code.map((value, dim) => (dim === hand ? "" : value)).join(), hand, told, found]);
  latest.current = { code, locked };

  const set = (dim, value) => setCode((old) => old.map((before, i) => (i === dim ? value : before)));
  const free = (draw) => setCode((old) => old.map((before, dim) => (locked.has(dim) ? before : draw(dim))));
  const lock = (dim) => setLocked((old) => { const next = new Set(old); if (!next.delete(dim)) next.add(dim); return next; });
  const randomise = () => free((dim) => (prior ? normal() : found.dimensions[dim].mean + found.dimensions[dim].std * normal()));
  const fromExample = async () => {
    try {
      setProblem(null);
      const { mean, class: classes } = await json(`${of(run)}/encode`, { indices: [Math.floor(Math.random() * found.n)] });
      free((dim) => mean[0][dim]);
      if (classes) setTold(classes[0]);
    } catch (error) { setProblem(error); }
  };
  const copy = async () => {
    await navigator.clipboard.writeText(JSON.stringify(code.map((value) => Number(value.toFixed(4))))).catch(() => {});
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  const measured = knobs.some((one) => one.kl !== null);
  const active = knobs.filter((one) => one.active);
  const idle = knobs.filter((one) => !one.active);
  const most = Math.max(...knobs.map((one) => one.weight), 1e-9);
  const row = (one) => html`<${Knob} key=${one.dim} knob=${one} value=${code[one.dim]} share=${one.weight / most} locked=${locked.has(one.dim)} held=${one.dim === hand} measured=${measured} onInput=${set} onHold=${setHand} onLock=${lock} />`;
  return html`<div class="knobs">
    <aside class="side sticky">
      <section class="card"><${Picture} picture=${picture} label="What the decoder draws" className="big" />
        <div class="row wrap buttons">
          <${ClassChoice} run=${run} value=${told} onChange=${setTold} label="as class" />
          <button type="button" onClick=${randomise}>Randomise</button>
          <button type="button" onClick=${() => free((dim) => rest[dim])}>Reset</button>
          ${has(run, "encode") && html`<button type="button" onClick=${fromExample}>From an example</button>`}
          <button type="button" onClick=${copy}>${copied ? "Copied" : "Copy code"}</button>
        </div>
        <${Trouble} error=${problem} />
      </section>
    </aside>
    <div class="grow">
      <section class="card strip" aria-label="Traversal">
        <h2>Along z${hand}</h2>
        <div class="frames row">${strip.map((frame, step) => html`<button type="button" class="frame" onClick=${() => set(hand, values[step])} aria-label=${`${shown(values[step])}: set z${hand}`}><${Picture} picture=${frame} label="" /><span class="quiet">${shown(values[step])}</span></button>`)}</div>
      </section>
      ${run.conditional && html`<section class="card strip classes" aria-label="As each class">
        <h2>The same code as each class</h2>
        <div class="frames row">${classes.map((frame, place) => html`<button type="button" class="frame" aria-pressed=${place === told} onClick=${() => setTold(place)} aria-label=${`As class ${run.classes[place]}`}><${Picture} picture=${frame} label="" /><span class="quiet">${run.classes[place]}</span></button>`)}</div>
        ${run.classes.length > MOST_CLASSES && html`<p class="hint">The first ${MOST_CLASSES} of ${run.classes.length} classes.</p>`}
      </section>`}
      <section class="card" aria-label="Active dimensions"><div class="row spread"><h2>${active.length} of ${knobs.length} active</h2><p class="quiet">${measured ? "bars: KL in nats" : "bars: variance"}</p></div>
        <div class="sliders">${active.map(row)}</div>
        ${active.length === 0 && html`<p class="quiet">No dimension moves with the data: the posterior has collapsed onto the prior.</p>`}
        ${idle.length > 0 && html`<details><summary>${idle.length} that carry nothing</summary><div class="sliders">${idle.map(row)}</div></details>`}
      </section>
    </div>
  </div>`;
}

function Knob({ knob, value, share, locked, held, measured, onInput, onHold, onLock }) {
  const { dim, low, high } = knob;
  const hold = () => onHold(dim);
  return html`<div class=${`knob ${held ? "held" : ""}`} onPointerEnter=${hold}>
    <label for=${`z${dim}`}>z${dim}</label>
    <span class="weight" title=${measured ? `KL ${number(knob.kl, 3)} nats` : `variance ${number(knob.weight, 3)}`}><i style=${{ width: `${100 * share}%` }}></i></span>
    <input id=${`z${dim}`} type="range" min=${low} max=${high} step="0.01" value=${value} disabled=${locked} onInput=${(event) => onInput(dim, Number(event.target.value))} onFocus=${hold} />
    <output>${number(value).replace("-", "−")}</output>
    <button type="button" class="icon small" aria-pressed=${locked} aria-label=${`Lock z${dim}`} title=${locked ? "Locked" : "Lock"} onClick=${() => onLock(dim)}>${locked ? "●" : "○"}</button>
  </div>`;
}
