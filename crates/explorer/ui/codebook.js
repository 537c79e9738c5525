// The codebooks of a run: what each entry stands for, who uses it, and what becomes of a picture with other ones.
import { html, useEffect, useMemo, useState } from "/ui/vendor/preact-htm.js";
import { finished, json, newest, of, pictures } from "/ui/api.js";
import { CodeGrid, HeatGrid, assembled, bookName, books, inRow } from "/ui/codegrid.js";
import { Complete } from "/ui/complete.js";
import { FilmTab, WithoutPrior, useCodes } from "/ui/drawing.js";
import { Choice, Computing, HeldOutChoice, Picture, Trouble, Waiting, count, number, pictureOf, useLoaded, worded } from "/ui/parts.js";

const TABS = [["codes", "Codes"], ["swap", "Swap"], ["complete", "Complete"], ["film", "Film"]];
/** Pictures that use a code, as many as are shown. */
const USERS = 24;

export function Codebook({ run }) {
  const about = useCodes(run);
  const [tab, setTab] = useState("codes");
  const [level, setLevel] = useState(0);
  const [book, setBook] = useState(0);
  const [picked, setPicked] = useState(null);
  const [told, setTold] = useState(null);
  const found = useLoaded((wanted) => finished(`${of(run)}/codebook`, { level, book }, (far) => { if (wanted()) setTold(far); return wanted(); }), [run.id, level, book, run.live ? run.epochs : 0]);
  const current = found.value?.level === level && found.value?.book === book ? found.value : null;
  useEffect(() => { if (current) setPicked(current.codes[0] ?? 0); }, [current]);
  if (!about.value) return html`<${Title} run=${run} /><${Trouble} error=${about.error} />${!about.error && html`<${Waiting} />`}`;
  const levels = about.value.levels;
  const whole = levels[Math.min(level, levels.length - 1)];
  const choose = (place) => { setLevel(place); setBook(0); };
  const drawn = { complete: html`<${Complete} run=${run} about=${about.value} />`, film: html`<${FilmTab} run=${run} about=${about.value} />` }[tab];
  const shown = current && picked !== null && { run, about: about.value, level: whole, place: level, book, found: current, picked, onPick: setPicked };
  return html`
    <${Title} run=${run} />
    <div class="toolbar">
      <${Choice} label="What to do" value=${tab} options=${TABS} onChange=${setTab} />
      ${!drawn && levels.length > 1 && html`<${Choice} label="Level" value=${level} options=${levels.map((one, place) => [place, one.name])} onChange=${choose} />`}
      ${!drawn && books(whole) > 1 && html`<label class="field">codebook <select value=${book} onChange=${(event) => setBook(Number(event.target.value))}>${Array.from({ length: books(whole) }, (_, one) => html`<option value=${one} selected=${one === book}>${bookName(whole, one)}</option>`)}</select></label>`}
    </div>
    ${drawn && (about.value.prior ? drawn : html`<${WithoutPrior} about=${about.value} what=${tab === "film" ? "A film shows how a prior draws:" : "The codes that are not kept are drawn by a prior:"} />`)}
    ${!drawn && html`<${Trouble} error=${found.error} />
      ${!shown && !found.error && html`<section class="card"><${Computing} found=${told}>Looking at the codes of the held-out pictures<//></section>`}
      ${shown && (tab === "codes" ? html`<${Codes} ...${shown} />` : html`<${Swap} ...${shown} />`)}`}`;
}

const Title = ({ run }) => html`<div class="title"><h1>Codebook</h1><p class="quiet">${run.name}: what each code stands for, where it is used, and what a picture becomes with another one</p></div>`;

/** Every code that is used, the most used first. */
function Sheet({ found, picked, onPick, doing }) {
  const most = found.counts[0] ?? 1;
  const patches = useMemo(() => found.codes.map((_, index) => pictureOf(found.images[index], found.shape)), [found]);
  return html`<div class="sheet patches" role="group" aria-label="Codes">${found.codes.map((code, index) => html`<button type="button" key=${code} class="frame" aria-pressed=${code === picked} title=${`code ${code}: used ${count(found.counts[index])} times`} aria-label=${`${doing} code ${code}, used ${count(found.counts[index])} times`} onClick=${() => onPick(code)}>
    <${Picture} picture=${patches[index]} label="" /><span class="weight"><i style=${{ width: `${100 * Math.sqrt(found.counts[index] / most)}%` }}></i></span></button>`)}</div>`;
}

function Codes(shared) {
  const { run, found, picked, level, book, place } = shared;
  const code = useLoaded((wanted) => finished(`${of(run)}/code`, { level: place, book, code: picked, n: USERS }, wanted), [found, picked]);
  const uses = code.value?.code === picked ? code.value : null;
  const hidden = found.used - found.codes.length;
  return html`
    ${found.findings.map(({ finding, cure }) => html`<p class="trouble" role="status"><b>${finding}.</b> Cure: ${worded(cure)}.</p>`)}
    <div class="make book">
      <div class="grow">
        <section class="card" aria-label="All codes">
          <dl class="tiles">
            <div class="tile"><dt>codes used</dt><dd><b>${found.used}</b> of ${found.entries}</dd></div>
            <div class="tile"><dt>perplexity</dt><dd><b>${number(found.perplexity, 1)}</b></dd></div>
            <div class="tile"><dt>signal to noise</dt><dd><b>${number(found.snr, 1)}</b> dB</dd></div>
          </dl>
          <${Sheet} ...${shared} doing="Look at" />
          <p class="hint">Each the mean of the patches that use it, the most used first; bars grow with the root of the use, over ${count(found.n)} ${found.split} pictures.${hidden > 0 && ` ${count(hidden)} more are used less.`}</p>
        </section>
        <section class="card uses" aria-label="Pictures that use it"><h2>Pictures that use code ${picked}</h2>
          <${Trouble} error=${code.error} />
          ${uses ? html`<div class="sheet users">${uses.examples.map((example) => html`<figure key=${example.index}><${Marked} run=${run} split=${uses.split} example=${example} level=${level} /><figcaption class="quiet numbers">${example.index}${example.label !== null && html` · ${uses.classes[example.label] ?? example.label}`}</figcaption></figure>`)}</div>
            ${uses.examples.length === 0 && html`<p class="quiet">None of these pictures uses it.</p>`}` : !code.error && html`<${Waiting}>Looking it up<//>`}
        </section>
      </div>
      <aside class="side">
        <section class="card" aria-label="The code"><h2>Code ${picked}</h2>
          <div class="row one"><${Picture} picture=${patchOf(found, picked)} label=${`What code ${picked} stands for`} />
            <dl class="facts"><div><dt>used</dt><dd>${uses ? count(uses.count) : "–"}</dd></div><div><dt>of all</dt><dd>${uses ? `${number(100 * uses.share, 2)} %` : "–"}</dd></div></dl></div>
        </section>
        ${uses && html`<section class="card" aria-label="Where it comes"><h2>Where it comes</h2><${HeatGrid} level=${level} values=${uses.counts_by_place} label=${`How often code ${picked} comes at each place`} title=${(value) => `${count(value)} times`} /></section>`}
        ${uses?.counts_by_class && html`<section class="card" aria-label="In which classes"><h2>In which classes</h2><${Classes} names=${uses.classes} counts=${uses.counts_by_class} /></section>`}
        <section class="card" aria-label="Codes by place"><h2>Codes by place</h2><${HeatGrid} level=${level} values=${found.perplexity_by_place.map((value) => value - 1)} label="How many codes each place uses" title=${(value) => `perplexity ${number(value + 1, 1)}`} />
          <p class="hint">perplexity of each place alone, ${number(Math.min(...found.perplexity_by_place), 1)} to ${number(Math.max(...found.perplexity_by_place), 1)}</p></section>
      </aside>
    </div>`;
}

const patchOf = (found, code) => { const index = found.codes.indexOf(code); return index < 0 ? null : pictureOf(found.images[index], found.shape); };

/** A picture with the places that use the code. */
function Marked({ run, split, example, level }) {
  const used = new Set(example.places);
  return html`<${CodeGrid} level=${level} label=${`Picture ${example.index}, ${used.size} places`} cell=${(place) => ({ kind: used.has(place) ? "mine" : "" })}><img class="picture" src=${`${of(run)}/examples/${split}/${example.index}`} alt="" loading="lazy" /><//>`;
}

/** Classes, the most frequent first. */
function Classes({ names, counts }) {
  const all = counts.reduce((sum, value) => sum + value, 0) || 1;
  const order = counts.map((value, place) => [value, place]).filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]).slice(0, 10);
  return html`<dl class="shares">${order.map(([value, place]) => html`<div><dt>${names[place] ?? place}</dt><dd class="weight"><i style=${{ width: `${(100 * value) / order[0][0]}%` }}></i></dd><dd class="quiet numbers">${number((100 * value) / all, 0)} %</dd></div>`)}</dl>`;
}

/** A picture whose codes can be exchanged. */
function Swap(shared) {
  const { run, found, picked, onPick, level, book } = shared;
  const [index, setIndex] = useState(0);
  const [mode, setMode] = useState("put");
  const [row, setRow] = useState(null);
  const [picture, setPicture] = useState(null);
  const [problem, setProblem] = useState(null);
  const source = useLoaded(() => json(`${of(run)}/reconstruct`, { indices: [index] }), [run.id, index, run.live ? run.epochs : 0]);
  const own = source.value?.symbols[0];
  const decode = useMemo(() => newest(async (symbols) => {
    try { setPicture(await pictures(`${of(run)}/decode`, { symbols: [symbols] })); setProblem(null); } catch (error) { setProblem(error); }
  }), [run.id]);
  useEffect(() => { setRow(own ?? null); }, [own]);
  useEffect(() => { if (row) decode(row); }, [row]);
  const bytes = (values) => pictureOf(values, source.value.shape);
  const at = (place) => inRow(level, book, place);
  const act = (place) => {
    if (mode === "look") onPick(row[at(place)]);
    else if (row[at(place)] !== picked) setRow(row.map((code, i) => (i === at(place) ? picked : code)));
  };
  const changed = row && own && row.reduce((sum, code, i) => sum + (code !== own[i]), 0);
  const cell = (place) => ({ kind: row[at(place)] !== own[at(place)] ? "changed" : row[at(place)] === picked ? "mine" : "", title: `code ${row[at(place)]}` });
  const parts = useMemo(() => row && assembled(row, level, book, found), [row, level, book, found]);
  return html`<div class="make swap">
    <section class="card grow" aria-label="The picture">
      <div class="toolbar">
        <${HeldOutChoice} run=${run} index=${index} onChange=${setIndex} />
        <${Choice} label="A press on a place" value=${mode} options=${[["put", `Put code ${picked}`], ["look", "Look which it is"]]} onChange=${setMode} />
        <button type="button" disabled=${!changed} onClick=${() => setRow(own)}>Undo all</button>
      </div>
      <${Trouble} error=${source.error ?? problem} />
      ${row && picture && own ? html`<div class="before">
          <figure><${Picture} picture=${bytes(source.value.originals[0])} label="The picture" /><figcaption class="quiet">the picture</figcaption></figure>
          <figure><${Picture} picture=${bytes(source.value.images[0])} label="Its own codes, decoded" /><figcaption class="quiet">its own codes, decoded</figcaption></figure>
          <figure><${Picture} picture=${parts} label="Its codes as patches" /><figcaption class="quiet">codes as patches</figcaption></figure>
        </div>
        <figure class="edited"><${CodeGrid} level=${level} label="Decoded, with its codes" cell=${cell} onPlace=${act}><${Picture} picture=${picture} label="" className="big" /><//>
          <figcaption class="quiet numbers">${changed === 0 ? "press a place to exchange its code" : `${changed} ${changed === 1 ? "code" : "codes"} exchanged`}</figcaption></figure>` : !source.error && html`<${Waiting} />`}
    </section>
    <section class="card grow" aria-label="All codes"><h2>Codes</h2><${Sheet} found=${found} picked=${picked} onPick=${(code) => { onPick(code); setMode("put"); }} doing="Take" />
      <p class="hint">Choose a code, then press or draw over places of the picture: it is decoded anew at once.</p></section>
  </div>`;
}
