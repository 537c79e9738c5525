// What a prior over codes draws: its choices, and a picture as it comes code by code.
import { html, useEffect, useMemo, useState } from "/ui/vendor/preact-htm.js";
import { each, finished, gif, json, newest, of, pictures } from "/ui/api.js";
import { CodeGrid, assembled, books, codesAt } from "/ui/codegrid.js";
import { IN_TURN } from "/ui/needs.js";
import { Picture, Trouble, Waiting, pictureOf, save, useLoaded, worded } from "/ui/parts.js";

/** Of a class: none. */
const NONE = -2;
/** Pictures of a film, at most. */
const FRAMES = 80;

/** What the run's codes are, and its prior. */
export const useCodes = (run) => useLoaded(() => json(`${of(run)}/codes`), [run.id, run.live ? run.epochs : 0, run.updated, run.priors.join()]);

/** How a prior is asked to draw: as it is, until something is changed. */
export const PLAIN = { seed: 0, temperature: 1, top_p: 1, guidance: 1, told: NONE };

/** The same for the service. Without a class there is nothing to guide to. */
export function asked({ seed, temperature, top_p, guidance, told }, prior) {
  const chosen = told === IN_TURN ? prior.classes.map((_, place) => place) : told === NONE ? undefined : told;
  return { seed, temperature, top_p, guidance: chosen === undefined ? 1 : guidance, class: chosen };
}

/** Where no prior can draw. */
export const WithoutPrior = ({ about, what }) => html`<section class="card lacking"><h2>No prior yet</h2><p>${what} ${worded(about.without_prior)}.</p></section>`;

/** The choices of a drawing. */
export function Choices({ prior, value, onChange, inTurn }) {
  const set = (change) => onChange({ ...value, ...change });
  const slider = (key, text, min, max) => html`<label class="field">${text} <input type="range" min=${min} max=${max} step="0.05" value=${value[key]} onInput=${(event) => set({ [key]: Number(event.target.value) })} /><output>${value[key].toFixed(2)}</output></label>`;
  return html`
    ${prior.classes.length > 0 && html`<label class="field class">class <select value=${value.told} onChange=${(event) => set({ told: Number(event.target.value) })}>
      <option value=${NONE} selected=${value.told === NONE}>not told</option>
      ${inTurn && html`<option value=${IN_TURN} selected=${value.told === IN_TURN}>each in turn</option>`}
      ${prior.classes.map((name, place) => html`<option value=${place} selected=${place === value.told}>${name}</option>`)}
    </select></label>`}
    ${slider("temperature", "temperature", 0, 2)}
    ${slider("top_p", "top-p", 0.05, 1)}
    ${prior.classes.length > 0 && value.told !== NONE && slider("guidance", "guidance", 0, 5)}
    <label class="field">seed <input type="number" min="0" max="4294967295" value=${value.seed} onChange=${(event) => set({ seed: Math.max(0, Math.floor(Number(event.target.value) || 0)) })} /></label>
    <button type="button" onClick=${() => set({ seed: Math.floor(Math.random() * 1e6) })}>Others</button>`;
}

/** Rows of codes as they become known, one code or several more in each. What is not known yet is the most common code of its place. */
function stages(row, order, usual) {
  const step = Math.max(1, Math.ceil(order.length / FRAMES));
  const counts = [...Array.from({ length: Math.ceil(order.length / step) }, (_, i) => i * step), order.length];
  const known = (count) => { const stage = [...usual]; order.slice(0, count).forEach((place) => { stage[place] = row[place]; }); return stage; };
  return counts.map((count) => ({ count, symbols: known(count) }));
}

/** A picture drawn code by code. */
export function Film({ run, about, row, name }) {
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(true);
  const book = useLoaded((wanted) => finished(`${of(run)}/codebook`, {}, wanted), [run.id]);
  const film = useMemo(() => book.value && stages(row, about.order, book.value.usual), [book.value, row, about]);
  const symbols = film?.map((stage) => stage.symbols);
  const frames = useLoaded(() => (symbols ? pictures(`${of(run)}/decode`, { symbols }).then(each) : Promise.resolve(null)), [run.id, film]);
  const last = (film?.length ?? 1) - 1;
  useEffect(() => { setAt(0); setPlaying(true); }, [film]);
  useEffect(() => {
    if (!playing || !frames.value) return undefined;
    const timer = setInterval(() => setAt((old) => { if (old >= last) { setPlaying(false); return last; } return old + 1; }), 70);
    return () => clearInterval(timer);
  }, [playing, frames.value, last]);
  const play = () => { if (!playing && at >= last) setAt(0); setPlaying(!playing); };
  const keep = async () => {
    const film = await gif(`${of(run)}/decode`, { symbols });
    if (film) save(film, `${run.name}-${name}.gif`);
  };
  if (frames.error ?? book.error) return html`<${Trouble} error=${frames.error ?? book.error} />`;
  if (!frames.value) return html`<${Waiting}>Drawing<//>`;
  const known = new Set(about.order.slice(0, film[Math.min(at, last)].count));
  // Of a single map of single codes the patches say what each code stands for.
  const parts = about.levels.length === 1 && books(about.levels[0]) === 1 && assembled(about.order.reduce((row, place) => { if (!known.has(place)) row[place] = -1; return row; }, [...row]), about.levels[0], 0, book.value);
  const levels = about.levels.map((level, place) => html`<figure><${CodeGrid} level=${level} label=${`Codes drawn so far${about.levels.length > 1 ? `, ${level.name}` : ""}`} cell=${(cell) => ({ kind: drawn(level, cell, known) ? "known" : "unknown" })}>
    <${Picture} picture=${frames.value[Math.min(at, last)]} label="" className="big" /><//><figcaption class="quiet">${about.levels.length > 1 ? `${level.name} codes` : "decoded"}</figcaption></figure>`);
  return html`<div class="reel">
    <div class="maps">${levels}${parts && html`<figure><${Picture} picture=${parts} label="Its codes as patches" className="big" /><figcaption class="quiet">as patches</figcaption></figure>`}</div>
    <div class="row"><button type="button" class="icon" onClick=${play} aria-label=${playing ? "Pause" : "Play"}>${playing ? "❚❚" : "►"}</button>
      <input type="range" min="0" max=${last} step="1" value=${at} class="grow" aria-label="Codes drawn" onInput=${(event) => { setPlaying(false); setAt(Number(event.target.value)); }} /></div>
    <div class="row spread"><p class="quiet numbers">${film[Math.min(at, last)].count} of ${about.codes} codes</p><button type="button" class="link" onClick=${keep}>GIF</button></div>
    <p class="hint">What is not drawn yet stands as the most common code of its place.</p></div>`;
}

/** Whether all codes of a place are known. */
const drawn = (level, place, known) => codesAt(level, place).every((at) => known.has(at));

/** Make, for a run whose codes are symbols. */
export function MakeCodes({ run }) {
  const about = useCodes(run);
  return html`
    <div class="title"><h1>Make</h1><p class="quiet">${run.name}: new pictures from the prior over its codes; choose one to see it drawn code by code</p></div>
    <${Trouble} error=${about.error} />
    ${about.value ? (about.value.prior ? html`<${Samples} run=${run} about=${about.value} />` : html`<${WithoutPrior} about=${about.value} what="Codes that nobody has seen before come from a prior over them:" />`) : !about.error && html`<${Waiting} />`}`;
}

const SAMPLES = 48;

function Samples({ run, about }) {
  const [choices, setChoices] = useState({ ...PLAIN, told: about.prior.classes.length > 0 ? IN_TURN : NONE });
  const [found, setFound] = useState(null);
  const [picked, setPicked] = useState(0);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(true);
  const load = useMemo(() => newest(async (choices) => {
    setBusy(true);
    try { setFound(await json(`${of(run)}/sample`, { n: SAMPLES, ...asked(choices, about.prior) })); setProblem(null); } catch (error) { setProblem(error); }
    setBusy(false);
  }), [run.id, about]);
  useEffect(() => { load(choices); }, [choices, about]);
  const shown = useMemo(() => found?.images.map((values) => pictureOf(values, found.shape)), [found]);
  const label = (index) => (found.class ? `, class ${about.prior.classes[found.class[index]]}` : "");
  return html`<div class="make">
    <section class="card grow" aria-label="Pictures">
      <div class="toolbar"><${Choices} prior=${about.prior} value=${choices} onChange=${setChoices} inTurn /></div>
      <${Trouble} error=${problem} />
      ${!shown && busy && html`<${Waiting}>Drawing codes<//>`}
      <div class=${`sheet ${busy ? "busy" : ""}`}>${shown?.map((picture, index) => html`<button type="button" key=${index} class="frame" aria-pressed=${picked === index} aria-label=${`Picture ${index + 1}${label(index)}`} onClick=${() => setPicked(index)}><${Picture} picture=${picture} label="" /></button>`)}</div>
      <p class="hint">From the prior <code>${about.prior.name}</code>, as <code>elbo sample</code> draws them.</p>
    </section>
    <aside class="side"><section class="card" aria-label="Code by code"><h2>Code by code${found?.class && html` <span class="quiet">class ${about.prior.classes[found.class[picked]]}</span>`}</h2>
      ${found ? html`<${Film} run=${run} about=${about} row=${found.symbols[picked]} name=${`sample-${picked + 1}`} />` : html`<${Waiting} />`}</section></aside>
  </div>`;
}

/** The film of one sample, with its own choices. */
export function FilmTab({ run, about }) {
  const [choices, setChoices] = useState(PLAIN);
  const [row, setRow] = useState(null);
  const [problem, setProblem] = useState(null);
  const load = useMemo(() => newest(async (choices) => {
    try { setRow((await json(`${of(run)}/sample`, { n: 1, ...asked(choices, about.prior) })).symbols[0]); setProblem(null); } catch (error) { setProblem(error); }
  }), [run.id, about]);
  useEffect(() => { load(choices); }, [choices, about]);
  return html`<section class="card" aria-label="Code by code"><div class="toolbar"><${Choices} prior=${about.prior} value=${choices} onChange=${setChoices} /></div>
    <${Trouble} error=${problem} />
    ${row ? html`<${Film} run=${run} about=${about} row=${row} name=${`film-${choices.seed}`} />` : html`<${Waiting}>Drawing codes<//>`}</section>`;
}

