// New pictures: samples, walks between two of them, and arithmetic with codes.
import { html, useEffect, useMemo, useRef, useState } from "/ui/vendor/preact-htm.js";
import { each, finished, gif, json, newest, of, pictures } from "/ui/api.js";
import { MakeCodes } from "/ui/drawing.js";
import { ClassChoice, IN_TURN, has, toldClass } from "/ui/needs.js";
import { Choice, Computing, Picture, Trouble, heldOut, paint, pictureOf, save } from "/ui/parts.js";

const SAMPLES = 48;
const WALK = 32;
const NAMES = ["A", "B", "C"];
const SAMPLERS = [["normal", "N(0, I)"], ["gaussian", "one Gaussian"], ["mixture", "mixture of Gaussians"], ["two-stage", "second VAE"], ["maf", "flow (MAF)"]];
const TRUNCATIONS = [["", "none"], ["3", "3σ"], ["2", "2σ"], ["1.5", "1.5σ"], ["1", "1σ"]];

/** Of codes that are symbols other things are asked. */
export const Make = ({ run }) => (has(run, "discrete") ? html`<${MakeCodes} run=${run} />` : html`<${MakeVectors} run=${run} />`);

function MakeVectors({ run }) {
  const [seed, setSeed] = useState(0);
  const [temperature, setTemperature] = useState(1);
  const [source, setSource] = useState("samples");
  const [sampler, setSampler] = useState(has(run, "prior") ? "normal" : "mixture");
  const [told, setTold] = useState(IN_TURN);
  const [truncation, setTruncation] = useState("");
  const [computing, setComputing] = useState(null);
  const [items, setItems] = useState([]);
  const [problem, setProblem] = useState(null);
  const [picked, setPicked] = useState([]);
  const load = useMemo(() => newest(async (source, seed, temperature, sampler, truncation, told, superseded) => {
    try {
      const asked = { n: SAMPLES, seed, sampler, temperature, truncation: truncation ? Number(truncation) : null, class: toldClass(run, told) };
      // A sampler that nobody has asked for before is fitted first.
      const late = setTimeout(() => source === "samples" && sampler !== "normal" && setComputing({ sampler }), 400);
      const heard = (found) => { setComputing({ sampler, ...found }); return !superseded(); };
      const found = await (source === "samples" ? finished(`${of(run)}/sample`, asked, heard) : examples(run, seed)).finally(() => { clearTimeout(late); setComputing(null); });
      if (!found) return;
      const codes = found.z ?? found.mean;
      const shown = found.originals ?? found.images;
      setItems(codes.map((z, index) => ({ key: `${source}-${seed}-${temperature}-${sampler}-${truncation}-${told}-${index}`, z, class: found.class?.[index], picture: pictureOf(shown[index], found.shape) })));
      setProblem(null);
    } catch (error) { setProblem(error); }
  }), [run.id]);
  useEffect(() => { load(source, seed, temperature, sampler, truncation, told); }, [source, seed, temperature, sampler, truncation, told, run.live && sampler === "normal" ? run.epochs : 0]);
  const sources = [["samples", "Samples"], ...(has(run, "encode") ? [["examples", "Examples"]] : [])];
  // What is fitted to codes needs an encoder; what the run has fitted already is taken from there.
  const samplers = SAMPLERS.filter(([key]) => key === "normal" || has(run, "encode")).map(([key, text]) => [key, run.priors.includes(key) ? `${text}, the run's own` : text]);
  const choose = (item) => setPicked((old) => (old.some((one) => one.key === item.key) ? old.filter((one) => one.key !== item.key) : old.length < 3 ? [...old, item] : [old[0], old[1], item]));
  return html`
    <div class="title"><h1>Make</h1><p class="quiet">${run.name}: choose pictures as A, B and C, walk between them, add and subtract what they mean</p></div>
    <div class="make">
      <section class="card grow" aria-label="Pictures">
        <div class="toolbar">
          <${Choice} label="Pictures" value=${source} options=${sources} onChange=${setSource} />
          ${source === "samples" && html`<${ClassChoice} run=${run} value=${told} onChange=${setTold} inTurn="each in turn" /><label class="field">from <select value=${sampler} onChange=${(event) => setSampler(event.target.value)}>${samplers.map(([key, text]) => html`<option value=${key} selected=${key === sampler}>${text}</option>`)}</select></label>
          <label class="field">truncated at <select value=${truncation} onChange=${(event) => setTruncation(event.target.value)}>${TRUNCATIONS.map(([key, text]) => html`<option value=${key} selected=${key === truncation}>${text}</option>`)}</select></label>
          <label class="field">temperature <input type="range" min="0" max="2" step="0.05" value=${temperature} onInput=${(event) => setTemperature(Number(event.target.value))} /><output>${temperature.toFixed(2)}</output></label>`}
          <label class="field">seed <input type="number" min="0" max="4294967295" value=${seed} onChange=${(event) => setSeed(Math.max(0, Math.floor(Number(event.target.value) || 0)))} /></label>
          <button type="button" onClick=${() => setSeed(Math.floor(Math.random() * 1e6))}>Others</button>
          <button type="button" onClick=${() => sheet(items, `${run.name}-samples-${seed}.png`)} disabled=${items.length === 0}>Download PNG</button>
        </div>
        <${Trouble} error=${problem} />
        ${computing && html`<${Computing} found=${computing}>Fitting the ${SAMPLERS.find(([key]) => key === computing.sampler)[1]} to the codes of the training data<//>`}
        <div class="sheet">${items.map((item, index) => {
          const place = picked.findIndex((one) => one.key === item.key);
          return html`<button type="button" class="frame" aria-pressed=${place >= 0} aria-label=${`Picture ${index + 1}${place >= 0 ? `, chosen as ${NAMES[place]}` : ""}`} onClick=${() => choose(item)}><${Picture} picture=${item.picture} label="" />${place >= 0 && html`<b class="mark">${NAMES[place]}</b>`}</button>`;
        })}</div>
      </section>
      <aside class="side">
        <section class="card" aria-label="Chosen"><div class="row spread"><h2>Chosen</h2>${picked.length > 0 && html`<button type="button" class="link" onClick=${() => setPicked([])}>Clear</button>`}</div>
          <div class="triple">${NAMES.map((name, place) => html`<figure>${picked[place] ? html`<${Picture} picture=${picked[place].picture} label=${`Picture ${name}`} />` : html`<span class="blank"></span>`}<figcaption>${name}${picked[place]?.class !== undefined && html` <span class="quiet">class ${run.classes[picked[place].class]}</span>`}</figcaption></figure>`)}</div>
          ${picked.length < 2 && html`<p class="quiet">Choose two pictures to walk between, a third for A − B + C.</p>`}
        </section>
        ${picked.length >= 2 && html`<${Walk} run=${run} a=${picked[0]} b=${picked[1]} />`}
        ${picked.length === 3 && html`<${Sum} run=${run} items=${picked} />`}
      </aside>
    </div>`;
}

/** What is decoded is told the class of its first picture. */
const asClass = (run, item) => item.class !== undefined && html`<span class="quiet">, as class ${run.classes[item.class]}</span>`;

/** Random examples of the held-out split, with their codes. */
async function examples(run, seed) {
  const held = heldOut(run);
  let state = seed + 1;
  const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
  const indices = Array.from({ length: Math.min(SAMPLES, held) }, () => Math.floor(random() * held));
  return json(`${of(run)}/reconstruct`, { indices });
}

function Walk({ run, a, b }) {
  const [path, setPath] = useState("spherical");
  const [frames, setFrames] = useState([]);
  const [at, setAt] = useState(0.5);
  const [playing, setPlaying] = useState(false);
  const load = useMemo(() => newest(async (a, b, path, told) => setFrames(each(await pictures(`${of(run)}/interpolate`, { a, b, steps: WALK, path, class: told })))), [run.id]);
  useEffect(() => { load(a.z, b.z, path, a.class); }, [a.key, b.key, path]);
  const direction = useRef(1);
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(() => setAt((old) => {
      if (old >= 1) direction.current = -1;
      if (old <= 0) direction.current = 1;
      return Math.min(1, Math.max(0, old + direction.current / (WALK - 1)));
    }), 60);
    return () => clearInterval(timer);
  }, [playing]);
  const frame = frames[Math.round(at * (frames.length - 1))];
  const keep = async () => {
    const film = await gif(`${of(run)}/interpolate`, { a: a.z, b: b.z, steps: WALK, path, class: a.class });
    if (film) save(film, `${run.name}-walk.gif`);
  };
  return html`<section class="card" aria-label="From A to B"><h2>From A to B${asClass(run, a)}</h2>
    <${Picture} picture=${frame} label="On the way from A to B" className="big" />
    <div class="row"><button type="button" class="icon" onClick=${() => setPlaying(!playing)} aria-label=${playing ? "Pause" : "Play"}>${playing ? "❚❚" : "►"}</button>
      <input type="range" min="0" max="1" step="0.005" value=${at} class="grow" aria-label="Place between A and B" onInput=${(event) => { setPlaying(false); setAt(Number(event.target.value)); }} /></div>
    <div class="row wrap"><${Choice} label="Path" value=${path} options=${[["spherical", "Great circle"], ["linear", "Line"]]} onChange=${setPath} /><button type="button" onClick=${keep}>Download GIF</button></div>
  </section>`;
}

function Sum({ run, items }) {
  const [result, setResult] = useState(null);
  const [a, b, c] = items.map((item) => item.z);
  const decode = useMemo(() => newest(async (z, told) => setResult(await pictures(`${of(run)}/decode`, { z: [z], class: told }))), [run.id]);
  useEffect(() => { decode(a.map((value, i) => value - b[i] + c[i]), items[0].class); }, [items.map((item) => item.key).join()]);
  return html`<section class="card" aria-label="A minus B plus C"><h2>A − B + C${asClass(run, items[0])}</h2><${Picture} picture=${result} label="The decoded sum" className="big" /></section>`;
}

/** All pictures on one canvas, saved as PNG. */
function sheet(items, name) {
  const { width, height } = items[0].picture;
  const columns = Math.ceil(Math.sqrt(items.length * 1.5));
  const scale = Math.max(1, Math.round(56 / width));
  const canvas = document.createElement("canvas");
  canvas.width = columns * (width + 1) * scale;
  canvas.height = Math.ceil(items.length / columns) * (height + 1) * scale;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  const tile = document.createElement("canvas");
  [tile.width, tile.height] = [width, height];
  items.forEach((item, index) => {
    tile.getContext("2d").putImageData(paint(item.picture), 0, 0);
    context.drawImage(tile, (index % columns) * (width + 1) * scale, Math.floor(index / columns) * (height + 1) * scale, width * scale, height * scale);
  });
  canvas.toBlob((blob) => save(blob, name), "image/png");
}
