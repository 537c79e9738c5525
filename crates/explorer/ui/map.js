// The latent map: codes of held-out examples as points, the manifold behind them, and a cursor that decodes where it is.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "/ui/vendor/preact-htm.js";
import { finished, json, newest, of, pick, pictures } from "/ui/api.js";
import { ClassChoice, has } from "/ui/needs.js";
import { Choice, Computing, Picture, Trouble, classColour, number, paint, token, useLoaded } from "/ui/parts.js";

/** Pixels between two tiles of the manifold, at least. */
const TILE = 44;
/** Tiles remembered, and asked for at once. */
const MOST_TILES = 4000;
const BATCH = 256;

/** What the map is drawn on. */
const METHODS = [["pca", "PCA"], ["dims", "Two dimensions"], ["tsne", "t-SNE"]];

/** How many examples are shown, and of how many, where that is a sample of them. */
function counted(run, plane) {
  if (!plane.split) return "";
  const all = run.examples[["train", "validation", "test"].indexOf(plane.split)];
  const shown = plane.points.length.toLocaleString("en");
  return plane.points.length < all ? `${shown} of ${all.toLocaleString("en")} ${plane.split} (chosen at random)` : `${shown} ${plane.split}`;
}

export function LatentMap({ run, theme }) {
  const [method, setMethod] = useState(run.latent > 2 ? "pca" : "dims");
  const [dims, setDims] = useState([0, Math.min(1, run.latent - 1)]);
  const [progress, setProgress] = useState(null);
  const flat = method !== "tsne";
  const asked = method === "dims" ? { method, dims } : { method };
  const loaded = useLoaded(async (wanted) => {
    setProgress(null);
    const told = (found) => { if (wanted()) setProgress(found); return wanted(); };
    const [plane, detail] = await Promise.all([finished(`${of(run)}/project`, asked, told), json(of(run))]);
    // What lies on a neighbour map takes half a minute to find: it stays while the model trains on.
    return plane && { plane, names: detail.labels };
  }, [run.id, run.live && flat ? run.epochs : 0, method, dims.join()]);
  const [colour, setColour] = useState("label");
  const [tiles, setTiles] = useState(true);
  const [prior, setPrior] = useState(true);
  const [mixed, setMixed] = useState(false);
  const [told, setTold] = useState(run.conditional ? 0 : undefined);
  const mixture = useLoaded((wanted) => (mixed && flat ? finished(`${of(run)}/mixture`, asked, wanted) : Promise.resolve(null)), [run.id, mixed, method, dims.join()]);
  const methods = METHODS.filter(([key]) => run.latent > 2 || key !== "pca");
  const box = (checked, set, text) => html`<label class="check"><input type="checkbox" checked=${checked} onChange=${() => set(!checked)} />${text}</label>`;
  const { plane } = loaded.value ?? {};
  const colours = [["label", "By class"], ...(plane && !plane.score ? [] : [["score", "By score"]])];
  return html`
    <div class="title"><h1>Latent map</h1><p class="quiet">${run.name}: where the encoder puts ${plane ? counted(run, plane) : ""} examples${flat && ", and what the decoder draws everywhere else"}</p></div>
    <div class="toolbar">
      <${Choice} label="Drawn on" value=${method} options=${methods} onChange=${setMethod} />
      ${method === "dims" && run.latent > 2 && [0, 1].map((axis) => html`<label class="field">${axis === 0 ? "across" : "up"}
        <select value=${dims[axis]} onChange=${(event) => setDims(dims.map((dim, i) => (i === axis ? Number(event.target.value) : dim)))}>
          ${Array.from({ length: run.latent }, (_, dim) => html`<option value=${dim} selected=${dim === dims[axis]}>z${dim}</option>`)}
        </select></label>`)}
      <${Choice} label="Colour" value=${colour} options=${colours} onChange=${setColour} />
      ${flat && html`<span class="row wrap">${box(tiles, setTiles, "Manifold")}<${ClassChoice} run=${run} value=${told} onChange=${setTold} label="of class" />${has(run, "prior") && box(prior, setPrior, "Prior")}${box(mixed, setMixed, "Mixture")}</span>`}
    </div>
    <${Trouble} error=${loaded.error ?? mixture.error} />
    ${plane?.without_data && html`<p class="hint">No examples, since the run's data cannot be opened; what the decoder draws needs none. ${plane.without_data}</p>`}
    ${mixed && flat && mixture.busy && !mixture.value && html`<${Computing}>Fitting a mixture to the codes of the training data<//>`}
    ${plane && flat === Boolean(plane.x) ? html`<${Plane} run=${run} theme=${theme} colour=${colour} tiles=${tiles && flat} prior=${prior && flat && has(run, "prior")} told=${told} mixture=${mixed && flat ? mixture.value : null} ...${loaded.value} />` : !loaded.error && html`<${Computing} found=${progress}>${flat ? "Encoding the held-out examples" : "Laying out neighbours"}<//>`}`;
}

/** The smallest 1, 2 or 5 times a power of ten that is not below `least`. */
function nice(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * 0.999);
}

/** A view that shows nearly all points. */
function overview(points, width, height) {
  const sorted = [0, 1].map((axis) => points.map((point) => point[axis]).sort((a, b) => a - b));
  const [x, y] = sorted.map((values) => [values[Math.floor(values.length * 0.003)] ?? -3, values[Math.ceil(values.length * 0.997) - 1] ?? 3]);
  const scale = Math.min(width / Math.max(x[1] - x[0], 1e-3), height / Math.max(y[1] - y[0], 1e-3)) * 0.92;
  return { x: (x[0] + x[1]) / 2, y: (y[0] + y[1]) / 2, scale };
}

/** Points by cell of a grid, for "which is the nearest". */
function buckets(points) {
  const size = 0.1;
  const cells = new Map();
  points.forEach(([x, y], index) => {
    const key = `${Math.floor(x / size)},${Math.floor(y / size)}`;
    if (!cells.has(key)) cells.set(key, []);
    cells.get(key).push(index);
  });
  return { size, cells, points };
}

function nearest({ size, cells, points }, x, y, within) {
  let best = null;
  let distance = within;
  const reach = Math.ceil(within / size);
  if (!(reach <= 40)) {
    points.forEach((point, index) => { const d = Math.hypot(point[0] - x, point[1] - y); if (d < distance) { distance = d; best = index; } });
    return best;
  }
  for (let i = -reach; i <= reach; i++) {
    for (let j = -reach; j <= reach; j++) {
      for (const index of cells.get(`${Math.floor(x / size) + i},${Math.floor(y / size) + j}`) ?? []) {
        const d = Math.hypot(points[index][0] - x, points[index][1] - y);
        if (d < distance) { distance = d; best = index; }
      }
    }
  }
  return best;
}

/** Half axes and direction of the ellipse of a 2 x 2 covariance at one standard deviation. */
function ellipse([[a, b], [, c]]) {
  const [middle, spread] = [(a + c) / 2, Math.hypot((a - c) / 2, b)];
  return { axes: [Math.sqrt(middle + spread), Math.sqrt(Math.max(0, middle - spread))], angle: Math.atan2(2 * b, a - c) / 2 };
}

/** From pale to strong, for scores. */
const heat = (share, theme) => `hsl(${215 - 195 * share} ${45 + 40 * share}% ${theme === "dark" ? 72 - 14 * share : 62 - 14 * share}%)`;

/** What the tiles are drawn on first. */
const sheet = document.createElement("canvas");

function Plane({ run, plane, names, theme, colour, tiles, prior, mixture, told }) {
  const canvas = useRef();
  const back = useRef();
  const view = useRef(null);
  const cache = useRef(new Map());
  const pending = useRef(new Set());
  const [cursor, setCursor] = useState([0, 0]);
  const [decoded, setDecoded] = useState(null);
  const [hovered, setHovered] = useState(null);
  const [pair, setPair] = useState(null);
  const [hidden, setHidden] = useState(new Set());
  const [latency, setLatency] = useState(null);
  const index = useMemo(() => buckets(plane.points), [plane]);
  const ranks = useMemo(() => {
    if (!plane.score) return null;
    const order = plane.score.map((_, i) => i).sort((a, b) => plane.score[a] - plane.score[b]);
    const ranks = new Float32Array(order.length);
    order.forEach((point, place) => { ranks[point] = place / Math.max(1, order.length - 1); });
    return ranks;
  }, [plane]);
  const state = useRef({});
  state.current = { theme, colour, tiles, prior, mixture, hidden, cursor, hovered, told };

  const leadsBack = Boolean(plane.x);
  const code = (x, y) => plane.origin.map((origin, dim) => origin + x * plane.x[dim] + y * plane.y[dim]);
  const decode = useMemo(() => newest(async (x, y) => {
    const began = performance.now();
    // Nothing leads back from a map of neighbours: there the nearest example's code is decoded.
    const example = leadsBack ? null : nearest(index, x, y, Infinity);
    const picture = await (leadsBack ? pictures(`${of(run)}/decode`, { z: [code(x, y)], class: told }) : pictures(`${of(run)}/reconstruct`, { indices: [plane.indices[example]], split: plane.split }));
    setLatency(performance.now() - began);
    setDecoded(picture);
  }), [run.id, plane, told]);
  const look = useMemo(() => newest(async (example) => {
    const place = plane.indices[example];
    const [original, reconstruction] = await Promise.all([pictures(`${of(run)}/examples/${plane.split}/${place}`), pictures(`${of(run)}/reconstruct`, { indices: [place], split: plane.split })]);
    setPair({ example, original, reconstruction });
  }), [run.id, plane]);

  useEffect(() => {
    // What was asked for before comes too late to be of this class.
    cache.current = new Map();
    pending.current = new Set();
    request();
  }, [run.id, plane, told]);
  useEffect(() => { decode(...cursor); }, [cursor.join(), decode]);
  useEffect(() => { if (hovered !== null) look(hovered); }, [hovered, look]);

  const toScreen = (x, y) => {
    const { width, height } = canvas.current.getBoundingClientRect();
    return [width / 2 + (x - view.current.x) * view.current.scale, height / 2 - (y - view.current.y) * view.current.scale];
  };
  const toPlane = (left, top) => {
    const { width, height } = canvas.current.getBoundingClientRect();
    return [view.current.x + (left - width / 2) / view.current.scale, view.current.y - (top - height / 2) / view.current.scale];
  };

  /** Everything but the cursor: tiles, contours, points. */
  const drawBack = () => {
    const element = back.current;
    const { width, height } = element.getBoundingClientRect();
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    element.width = width * ratio;
    element.height = height * ratio;
    if (!view.current) view.current = overview(plane.points, width, height);
    const context = element.getContext("2d");
    context.scale(ratio, ratio);
    context.imageSmoothingEnabled = false;
    context.fillStyle = token("--card");
    context.fillRect(0, 0, width, height);
    const now = state.current;
    if (now.tiles) drawTiles(context, width, height);
    drawGrid(context, width, height);
    drawPoints(context, width, height);
    if (now.prior) drawPrior(context);
    if (now.mixture) drawMixture(context, now.mixture);
    drawFront();
  };

  const drawTiles = (context, width, height) => {
    const step = nice(TILE / view.current.scale);
    const size = step * view.current.scale;
    const [left, top] = toPlane(0, 0);
    const [right, bottom] = toPlane(width, height);
    const missing = [];
    // On a sheet of their own, opaque, and then faintly onto the map: so tiles that touch leave no seams.
    const ratio = devicePixelRatio || 1;
    sheet.width = width * ratio;
    sheet.height = height * ratio;
    const paper = sheet.getContext("2d");
    paper.scale(ratio, ratio);
    for (let i = Math.floor(left / step); i <= Math.ceil(right / step); i++) {
      for (let j = Math.floor(bottom / step); j <= Math.ceil(top / step); j++) {
        const key = `${step}:${i}:${j}`;
        const tile = cache.current.get(key);
        const [x, y] = toScreen(i * step, j * step);
        if (tile) paper.drawImage(tile, x - size / 2 - 0.3, y - size / 2 - 0.3, size + 0.6, size + 0.6);
        else if (!pending.current.has(key)) missing.push([key, code(i * step, j * step)]);
      }
    }
    const light = state.current.theme === "light";
    context.globalAlpha = light ? 0.3 : 0.5;
    // Grey pictures become ink on paper where the page is paper.
    context.filter = light && run.shape[0] === 1 ? "invert(1)" : "none";
    context.drawImage(sheet, 0, 0, width, height);
    context.filter = "none";
    context.globalAlpha = 1;
    if (missing.length > 0) fetchTiles(missing);
  };

  const fetchTiles = async (missing) => {
    const wanted = missing.slice(0, BATCH);
    const [tiles, asked] = [cache.current, pending.current];
    wanted.forEach(([key]) => asked.add(key));
    try {
      const found = await pictures(`${of(run)}/decode`, { z: wanted.map(([, z]) => z), class: state.current.told });
      if (tiles.size > MOST_TILES) tiles.clear();
      wanted.forEach(([key], place) => {
        const tile = document.createElement("canvas");
        tile.width = found.width;
        tile.height = found.height;
        tile.getContext("2d").putImageData(paint(pick(found, place)), 0, 0);
        tiles.set(key, tile);
      });
    } catch (error) {
      console.warn(error.message);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    } finally {
      wanted.forEach(([key]) => asked.delete(key));
    }
    request();
  };

  const drawGrid = (context, width, height) => {
    const step = nice(90 / view.current.scale);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    const [left, top] = toPlane(0, 0);
    const [right, bottom] = toPlane(width, height);
    context.strokeStyle = token("--line");
    context.fillStyle = token("--quiet");
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    context.beginPath();
    // Lengths on a map of neighbours mean nothing.
    const label = (value) => (leadsBack ? value.toFixed(digits).replace("-", "−") : "");
    for (let i = Math.ceil(left / step); i * step <= right; i++) {
      const [x] = toScreen(i * step, 0);
      if (!state.current.tiles) { context.moveTo(Math.round(x) + 0.5, 0); context.lineTo(Math.round(x) + 0.5, height); }
      context.fillText(label(i * step), x + 4, height - 6);
    }
    for (let j = Math.ceil(bottom / step); j * step <= top; j++) {
      const [, y] = toScreen(0, j * step);
      if (!state.current.tiles) { context.moveTo(0, Math.round(y) + 0.5); context.lineTo(width, Math.round(y) + 0.5); }
      context.fillText(label(j * step), 5, y - 4);
    }
    context.stroke();
  };

  /** Circles of N(0, I) at 1, 2 and 3 standard deviations, where the plane cuts them. */
  const drawPrior = (context) => {
    const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    const [x, y] = toScreen(-dot(plane.origin, plane.x), -dot(plane.origin, plane.y));
    context.strokeStyle = token("--strong");
    context.setLineDash([5, 5]);
    [1, 2, 3].forEach((radius) => {
      context.globalAlpha = 1 - 0.22 * radius;
      context.lineWidth = 1.4;
      context.beginPath();
      context.arc(x, y, radius * view.current.scale, 0, 2 * Math.PI);
      context.stroke();
      context.fillStyle = token("--strong");
      context.font = "11px system-ui, sans-serif";
      context.fillText(`${radius}σ`, x + radius * view.current.scale * 0.707 + 4, y - radius * view.current.scale * 0.707 - 4);
    });
    context.globalAlpha = 1;
    context.setLineDash([]);
  };

  /** Ellipses of each component at 1 and 2 standard deviations: of its marginal on this plane. */
  const drawMixture = (context, { components }) => {
    const most = Math.max(...components.map((component) => component.weight));
    for (const [colour, wide] of [[token("--card"), 4], [token("--accent"), 1.8]]) {
      context.strokeStyle = colour;
      for (const { weight, mean, covariance } of components) {
        const [x, y] = toScreen(...mean);
        const { axes, angle } = ellipse(covariance);
        for (const radius of [1, 2]) {
          context.globalAlpha = (0.35 + 0.65 * Math.sqrt(weight / most)) / radius ** 0.5;
          context.lineWidth = wide / radius ** 0.5;
          context.beginPath();
          context.ellipse(x, y, radius * axes[0] * view.current.scale, radius * axes[1] * view.current.scale, -angle, 0, 2 * Math.PI);
          context.stroke();
        }
      }
    }
    context.globalAlpha = 1;
  };

  const drawPoints = (context, width, height) => {
    const now = state.current;
    const count = plane.points.length;
    // Smaller where many points share little room, larger as they come apart.
    const room = Math.sqrt((width * height) / 600000) * Math.sqrt(6000 / Math.max(count, 1500));
    const radius = Math.min(4.5, Math.max(1.1, 2.1 * Math.min(1, room)) * Math.min(1.8, Math.max(1, view.current.scale / 110)));
    context.globalAlpha = now.tiles ? 0.92 : 0.8;
    const { x, y, scale } = view.current;
    const groups = new Map();
    for (let i = 0; i < count; i++) {
      const label = plane.labels?.[i];
      if (now.hidden.has(label)) continue;
      const left = width / 2 + (plane.points[i][0] - x) * scale;
      const top = height / 2 - (plane.points[i][1] - y) * scale;
      if (left < -5 || top < -5 || left > width + 5 || top > height + 5) continue;
      const key = now.colour === "score" && ranks ? Math.round(ranks[i] * 20) : label;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(left, top);
    }
    for (const [key, places] of groups) {
      context.fillStyle = now.colour === "score" ? heat(key / 20, now.theme) : classColour(key, now.theme);
      context.beginPath();
      for (let i = 0; i < places.length; i += 2) {
        context.moveTo(places[i] + radius, places[i + 1]);
        context.arc(places[i], places[i + 1], radius, 0, 6.2832);
      }
      context.fill();
    }
    context.globalAlpha = 1;
  };

  /** The cursor and the point under the mouse. */
  const drawFront = () => {
    const element = canvas.current;
    const { width, height } = element.getBoundingClientRect();
    const ratio = devicePixelRatio || 1;
    element.width = width * ratio;
    element.height = height * ratio;
    const context = element.getContext("2d");
    context.scale(ratio, ratio);
    const now = state.current;
    const [x, y] = toScreen(...now.cursor);
    for (const [colour, wide] of [[token("--card"), 5], [token("--accent"), 2.4]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.beginPath();
      context.arc(x, y, 10, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) { context.moveTo(x + 10 * dx, y + 10 * dy); context.lineTo(x + 17 * dx, y + 17 * dy); }
      context.stroke();
    }
    if (now.hovered !== null) {
      const [left, top] = toScreen(...plane.points[now.hovered]);
      context.strokeStyle = token("--ink");
      context.lineWidth = 2;
      context.beginPath();
      context.arc(left, top, 7, 0, 2 * Math.PI);
      context.stroke();
    }
  };

  const frame = useRef(0);
  const request = () => { cancelAnimationFrame(frame.current); frame.current = requestAnimationFrame(() => canvas.current && drawBack()); };
  useLayoutEffect(() => { view.current = null; request(); }, [plane]);
  useLayoutEffect(request, [theme, colour, tiles, prior, mixture, hidden]);
  useLayoutEffect(() => { if (view.current && canvas.current) drawFront(); }, [cursor.join(), hovered]);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(request);
    observer.observe(back.current);
    return () => { observer.disconnect(); cancelAnimationFrame(frame.current); };
  }, [plane]);

  const zoom = (factor, left, top) => {
    const { width, height } = canvas.current.getBoundingClientRect();
    const [x, y] = toPlane(left ?? width / 2, top ?? height / 2);
    const scale = Math.min(1e5, Math.max(1e-2, view.current.scale * factor));
    const change = view.current.scale / scale;
    view.current = { scale, x: x + (view.current.x - x) * change, y: y + (view.current.y - y) * change };
    request();
  };
  const place = (event) => {
    const box = canvas.current.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const hands = useRef(new Map());
  const down = (event) => {
    canvas.current.setPointerCapture(event.pointerId);
    hands.current.set(event.pointerId, place(event));
    const pans = event.shiftKey || event.button > 0;
    canvas.current.dataset.pans = pans ? "1" : "";
    if (!pans && hands.current.size === 1) setCursor(toPlane(...place(event)));
  };
  const move = (event) => {
    const now = place(event);
    const before = hands.current.get(event.pointerId);
    if (!before) {
      setHovered(nearest(index, ...toPlane(...now), 14 / view.current.scale));
      return;
    }
    if (hands.current.size === 2) {
      const [other] = [...hands.current].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const spread = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
      zoom(spread(now, other) / Math.max(1, spread(before, other)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (canvas.current.dataset.pans) {
      view.current = { ...view.current, x: view.current.x - (now[0] - before[0]) / view.current.scale, y: view.current.y + (now[1] - before[1]) / view.current.scale };
      request();
    } else {
      const at = toPlane(...now);
      setCursor(at);
      setHovered(nearest(index, ...at, 14 / view.current.scale));
    }
    hands.current.set(event.pointerId, now);
  };
  const up = (event) => hands.current.delete(event.pointerId);
  const wheel = (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0016), ...place(event)); };
  useEffect(() => {
    const element = canvas.current;
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, [plane]);
  const keys = (event) => {
    const step = (event.shiftKey ? 40 : 8) / view.current.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) {
      const at = [cursor[0] + moves[event.key][0], cursor[1] + moves[event.key][1]];
      setCursor(at);
      setHovered(nearest(index, ...at, 14 / view.current.scale));
    } else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") { view.current = null; request(); }
    else return;
    event.preventDefault();
  };
  const toggle = (label) => setHidden((old) => { const next = new Set(old); if (!next.delete(label)) next.add(label); return next; });
  const shown = pair && hovered !== null ? pair : null;
  const text = (value) => number(value).replace("-", "−");

  return html`<div class="map">
    <div class="stage card">
      <canvas ref=${back} class="layer" aria-hidden="true"></canvas>
      <canvas ref=${canvas} class="layer front" tabindex="0" role="application" aria-label="Latent map. Arrow keys move the cursor, plus and minus zoom, 0 shows everything."
        onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up} onPointerLeave=${() => hands.current.size === 0 && setHovered(null)} onKeyDown=${keys} onContextMenu=${(event) => event.preventDefault()}></canvas>
      <div class="inset" aria-hidden="true"><${Picture} picture=${decoded} label="" /></div>
      <div class="zoom"><button type="button" class="icon" aria-label="Zoom in" onClick=${() => zoom(1.5)}>+</button><button type="button" class="icon" aria-label="Zoom out" onClick=${() => zoom(1 / 1.5)}>−</button><button type="button" class="icon" aria-label="Show everything" onClick=${() => { view.current = null; request(); }}>⤢</button></div>
    </div>
    <aside class="side">
      <section class="card cursor" aria-label="At the cursor">
        <h2>At the cursor</h2>
        <${Picture} picture=${decoded} label="What the decoder draws at the cursor" className="big" />
        ${!leadsBack && html`<p class="quiet">The nearest example's code, decoded: nothing leads back from this map.</p>`}
        <p class="quiet numbers">(${text(cursor[0])}, ${text(cursor[1])})${latency !== null && html` · <span class="latency">${Math.max(1, Math.round(latency))} ms</span>`}</p>
      </section>
      <section class="card" aria-label="Example">
        <h2>${shown ? html`Example ${plane.indices[shown.example]}` : "Under the mouse"}</h2>
        ${shown
          ? html`<div class="pair"><figure><${Picture} picture=${shown.original} label="The example" /><figcaption class="quiet">example</figcaption></figure><figure><${Picture} picture=${shown.reconstruction} label="Its reconstruction" /><figcaption class="quiet">reconstruction</figcaption></figure></div>
            <p class="quiet numbers">${plane.labels ? html`class <b>${names[plane.labels[shown.example]] ?? plane.labels[shown.example]}</b> · ` : ""}${plane.score && `score ${number(plane.score[shown.example], 1)} ${run.unit}`}</p>`
          : html`<p class="quiet">Point at a dot to see the example and what the model makes of it. Drag anywhere to decode; scroll or pinch to zoom, Shift and drag to move.</p>`}
      </section>
      ${mixture && html`<section class="card mixture" aria-label="Mixture"><h2>Mixture of ${mixture.components.length} Gaussians</h2><p class="quiet">${mixture.stored ? "the run's own" : "fitted here"}, to ${mixture.n.toLocaleString("en")} codes of training data. Ellipses at 1σ and 2σ of each component as this plane sees it; weights ${[...mixture.components].map((component) => component.weight).sort((a, b) => b - a).map((weight) => number(weight)).join(", ")}.</p></section>`}
      ${colour === "label" && plane.labels && html`<section class="card" aria-label="Classes"><h2>Classes</h2><div class="chips">
        ${[...new Set(plane.labels)].sort((a, b) => a - b).map((label) => html`<button type="button" class="chip" aria-pressed=${!hidden.has(label)} onClick=${() => toggle(label)}><i class="dot" style=${{ background: classColour(label, theme) }}></i>${names[label] ?? label}</button>`)}
      </div></section>`}
      ${colour === "score" && html`<section class="card"><h2>Score</h2><div class=${`scale ${theme}`} aria-hidden="true"></div><p class="quiet">recon + kl at the posterior mean, by rank: pale is what the model explains well, orange what surprises it.</p></section>`}
    </aside>
  </div>`;
}
