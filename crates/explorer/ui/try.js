// Something of one's own: drawn or dropped, as the model sees it, and what it thinks of it.
import { html, useEffect, useMemo, useRef, useState } from "/ui/vendor/preact-htm.js";
import { json, newest, of, pictures } from "/ui/api.js";
import { CodeGrid, codesAt } from "/ui/codegrid.js";
import { ClassChoice, has } from "/ui/needs.js";
import { Picture, Trouble, Waiting, difference, number, pictureOf, useLoaded, worded } from "/ui/parts.js";

const SIDE = 280;

export function Try({ run, theme }) {
  const [result, setResult] = useState(null);
  const [problem, setProblem] = useState(null);
  const reference = useLoaded(() => json(`${of(run)}/reference`), [run.id]);
  const codes = useLoaded(() => (has(run, "discrete") ? json(`${of(run)}/codes`) : Promise.resolve(null)), [run.id]);
  const [told, setTold] = useState(run.conditional ? 0 : undefined);
  const [drawn, setDrawn] = useState(null);
  const judge = useMemo(() => newest(async (blob, told) => {
    try {
      const sent = { images: [await base64(blob)], class: told };
      const [again, score] = await Promise.all([json(`${of(run)}/reconstruct`, sent), json(`${of(run)}/score`, { ...sent, neighbours: 8 })]);
      setResult({ seen: pictureOf(again.originals[0], again.shape), again: pictureOf(again.images[0], again.shape), score: score.score[0], unit: score.unit, recon: score.recon[0], kl: score.kl?.[0], rate: score.rate?.[0], by_code: score.by_code?.[0], without_prior: score.without_prior, share: score.share_above[0], neighbours: score.neighbours[0] });
      setProblem(null);
    } catch (error) { setProblem(error); }
  }), [run.id]);
  const change = useMemo(() => result && difference(result.seen, result.again), [result, theme]);
  useEffect(() => { if (drawn) judge(drawn, told); }, [drawn, told]);
  return html`
    <div class="title"><h1>Try</h1><p class="quiet">${run.name}: draw something or drop a picture. It goes through the same steps as the training data did.</p></div>
    <div class="try">
      <${Board} run=${run} onPicture=${setDrawn} onProblem=${setProblem}>
        <${ClassChoice} run=${run} value=${told} onChange=${setTold} label="told that it is of class" />
      <//>
      <section class="card grow" aria-label="What the model makes of it">
        <${Trouble} error=${problem} />
        ${result ? html`
          <div class=${`triple wide ${result.by_code ? "heated" : ""}`}>
            <figure><${Picture} picture=${result.seen} label="As the model sees it" /><figcaption class="quiet">as the model sees it</figcaption></figure>
            <figure><${Picture} picture=${result.again} label="Its reconstruction" /><figcaption class="quiet">reconstruction</figcaption></figure>
            <figure><${Picture} picture=${change} label="The difference" /><figcaption class="quiet">difference</figcaption></figure>
            ${result.by_code && codes.value?.levels.map((level, place) => html`<figure><${CodeGrid} level=${level} label="How unlikely the codes of each place are" cell=${heated(result.by_code, level)}><${Picture} picture=${result.again} label="" /><//><figcaption class="quiet">${codes.value.levels.length > 1 ? `where it is unlikely, ${level.name}` : "where it is unlikely"}</figcaption></figure>`)}
          </div>
          <h2>How strange is it?</h2>
          <p class="verdict"><b>${number(result.score, 1)}</b> ${result.unit} <span class="quiet">${made(result, run)}</span></p>
          ${result.without_prior && html`<p class="hint">Scored by reconstruction alone: ${worded(result.without_prior)}.</p>`}
          <p class="quiet">${sentence(result.share)}</p>
          ${reference.value ? html`<${Histogram} reference=${reference.value} score=${result.score} />` : reference.busy && html`<${Waiting}>Scoring the training examples<//>`}
          <h2>Nearest training examples</h2>
          <div class="frames row wrap">${result.neighbours.map((near) => html`<figure key=${near.index}><img class="picture" src=${`${of(run)}/examples/train/${near.index}`} alt=${`Training example ${near.index}`} /><figcaption class="quiet">${number(near.distance, has(run, "discrete") ? 0 : 2)}</figcaption></figure>`)}</div>
          <p class="hint">${has(run, "discrete") ? "by the number of places with another code" : "by the distance of codes"}, among ${reference.value?.n.toLocaleString("en") ?? "up to 10,000"} training examples</p>`
        : html`<p class="quiet prompt">Draw on the board. What the model sees, what it remembers of it, and how likely it finds it, appear here as you draw.</p>`}
      </section>
    </div>`;
}

/** What the score is made of. */
function made({ recon, kl, rate }, run) {
  if (kl !== undefined) return `= ${number(recon, 1)} recon + ${number(kl, 1)} kl`;
  return rate === undefined ? "= recon" : `rate of its codes under the prior · ${number(recon, 1)} ${run.unit} recon`;
}

/** The nats of a place's codes as heat, the most unlikely place hottest. */
function heated(by_code, level) {
  const places = level.height * level.width;
  const nats = Array.from({ length: places }, (_, place) => codesAt(level, place).reduce((sum, at) => sum + by_code[at], 0));
  const most = Math.max(...nats, 1e-9);
  return (place) => ({ kind: "hot", opacity: 0.85 * (nats[place] / most) ** 2, title: `${number(nats[place])} nats` });
}

const sentence = (share) => share <= 0 ? "No training example is as strange as this one." : share < 0.01 ? "Fewer than one training example in a hundred is as strange as this one." : `${Math.round(100 * share)} % of the training examples are at least as strange.`;

const base64 = (blob) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1]);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(blob);
});

/** Where one draws. White on black, as handwritten digits come. */
function Board({ run, onPicture, onProblem, children }) {
  const canvas = useRef();
  const [centred, setCentred] = useState(true);
  const [over, setOver] = useState(false);
  const [brush, setBrush] = useState(22);
  const digitLike = run.shape[0] === 1;
  const last = useRef(null);
  const send = () => {
    const source = digitLike && centred ? centre(canvas.current) : canvas.current;
    source.toBlob((blob) => blob && onPicture(blob), "image/png");
  };
  const clear = () => {
    // The drawing is read back after every stroke.
    const context = canvas.current.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
  };
  useEffect(clear, []);
  const at = (event) => {
    const box = canvas.current.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
  };
  const stroke = (from, to) => {
    const context = canvas.current.getContext("2d");
    context.strokeStyle = "#fff";
    context.lineWidth = brush;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    send();
  };
  const down = (event) => { canvas.current.setPointerCapture(event.pointerId); last.current = at(event); stroke(last.current, last.current); };
  const move = (event) => { if (!last.current) return; const now = at(event); stroke(last.current, now); last.current = now; };
  const up = () => { last.current = null; };
  const keys = (event) => {
    const steps = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] };
    if (!steps[event.key]) return;
    event.preventDefault();
    const from = pen.current;
    const to = [0, 1].map((axis) => Math.min(SIDE, Math.max(0, from[axis] + steps[event.key][axis])));
    if (!event.shiftKey) stroke(from, to);
    pen.current = to;
  };
  const pen = useRef([SIDE / 2, SIDE / 2]);
  const take = async (file) => {
    if (!file) return;
    try {
      const bitmap = await createImageBitmap(file);
      const context = canvas.current.getContext("2d");
      clear();
      const scale = Math.min(SIDE / bitmap.width, SIDE / bitmap.height);
      context.drawImage(bitmap, (SIDE - bitmap.width * scale) / 2, (SIDE - bitmap.height * scale) / 2, bitmap.width * scale, bitmap.height * scale);
      onPicture(file);
    } catch { onProblem(new Error("This file is no picture that the browser can read.")); }
  };
  const drop = (event) => { event.preventDefault(); setOver(false); take(event.dataTransfer.files[0]); };
  useEffect(() => {
    const paste = (event) => take([...event.clipboardData.files][0]);
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, []);
  return html`<section class="card board" aria-label="Board">
    <canvas ref=${canvas} width=${SIDE} height=${SIDE} tabindex="0" class=${over ? "over" : ""} role="application" aria-label="Drawing board. Arrow keys draw, with Shift they move the pen."
      onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onKeyDown=${keys}
      onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}></canvas>
    <div class="row wrap buttons"><button type="button" onClick=${() => { clear(); send(); }}>Clear</button>
      <label class="button">Open a picture<input type="file" accept="image/png,image/jpeg,image/webp,image/gif,image/bmp" class="hidden" onChange=${(event) => take(event.target.files[0])} /></label></div>
    ${children}
    <label class="field">brush <input type="range" min="8" max="48" value=${brush} onInput=${(event) => setBrush(Number(event.target.value))} /></label>
    ${digitLike && html`<label class="check"><input type="checkbox" checked=${centred} onChange=${() => setCentred(!centred)} />Centre and scale as MNIST does</label>`}
    <p class="hint">Drop or paste a picture too.</p>
  </section>`;
}

/** The drawing scaled to 20/28 of the side, its centre of mass in the middle: how the digits of MNIST were made. */
function centre(source) {
  const data = source.getContext("2d").getImageData(0, 0, SIDE, SIDE).data;
  let [left, top, right, bottom, mass, x, y] = [SIDE, SIDE, -1, -1, 0, 0, 0];
  for (let j = 0; j < SIDE; j++) {
    for (let i = 0; i < SIDE; i++) {
      const ink = data[4 * (j * SIDE + i)];
      if (ink < 30) continue;
      left = Math.min(left, i); right = Math.max(right, i); top = Math.min(top, j); bottom = Math.max(bottom, j);
      mass += ink; x += i * ink; y += j * ink;
    }
  }
  if (mass === 0) return source;
  const scale = (SIDE * 20) / 28 / Math.max(right - left + 1, bottom - top + 1);
  const target = document.createElement("canvas");
  target.width = target.height = SIDE;
  const context = target.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, SIDE, SIDE);
  context.drawImage(source, SIDE / 2 - (x / mass) * scale, SIDE / 2 - (y / mass) * scale, SIDE * scale, SIDE * scale);
  return target;
}

function Histogram({ reference, score }) {
  const [width, height] = [520, 110];
  const { edges, counts } = reference;
  const most = Math.max(...counts);
  const [low, high] = [Math.min(edges[0], score), Math.max(edges.at(-1), score)];
  const x = (value) => 8 + ((value - low) / (high - low || 1)) * (width - 16);
  const mark = x(score);
  return html`<svg class="histogram" viewBox=${`0 0 ${width} ${height + 22}`} role="img" aria-label=${`Scores of ${reference.n} training examples, median ${number(reference.median, 1)}; this one has ${number(score, 1)}`}>
    ${counts.map((count, i) => html`<rect x=${x(edges[i])} y=${height - (height * count) / most} width=${Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 0.6)} height=${(height * count) / most} />`)}
    <line x1=${mark} x2=${mark} y1="0" y2=${height} />
    <text x=${8} y=${height + 16}>${number(low, 0)}</text><text x=${width - 8} y=${height + 16} text-anchor="end">${number(high, 0)}</text>
    <text class="mark" x=${Math.min(width - 40, Math.max(40, mark))} y=${height + 16} text-anchor="middle">this one</text>
  </svg>`;
}
