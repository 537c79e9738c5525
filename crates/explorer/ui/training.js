// Curves of one or several runs, and the film of what they drew.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "/ui/vendor/preact-htm.js";
import { json, of } from "/ui/api.js";
import { has } from "/ui/needs.js";
import { Badge, Choice, Parts, Trouble, count, duration, judged, number, series, termNames, token } from "/ui/parts.js";

/** How terms are called in full; others by the names of their columns. */
const TITLES = { loss: "Loss", recon: "Reconstruction", kl: "KL divergence" };

/** What is charted: every term that one of the runs reports, with what it says of it. */
function chartsOf(runs, histories) {
  const names = [...new Set(runs.flatMap((run) => termNames(histories.get(run.id) ?? [run.last])))];
  const told = (name) => runs.flatMap((run) => run.terms).find((term) => term.name === name);
  return names.map((name) => ({ name, title: TITLES[name] ?? name, unit: told(name)?.unit, about: told(name)?.definition }));
}

const MOST_COMPARED = 8;

/** Histories by id, asked for again when a run has a new epoch. */
function useHistories(chosen) {
  const [histories, setHistories] = useState(new Map());
  const key = chosen.map((run) => `${run.id}:${run.epochs}:${run.last?.step}`).join(" ");
  useEffect(() => {
    let wanted = true;
    Promise.all(chosen.map(async (run) => [run.id, await json(`${of(run)}/metrics`).catch(() => [])])).then((found) => wanted && setHistories(new Map(found)));
    return () => { wanted = false; };
  }, [key]);
  return histories;
}

export function Training({ run, runs, theme }) {
  const [others, setOthers] = useState([]);
  const chosen = [run, ...runs.filter((one) => one.id !== run.id && others.includes(one.id))];
  const histories = useHistories(chosen);
  const [scale, setScale] = useState("linear");
  const [shape, setShape] = useState("curves");
  const [range, setRange] = useState(null);
  const toggle = (id) => setOthers((old) => (old.includes(id) ? old.filter((other) => other !== id) : [...old, id].slice(-MOST_COMPARED + 1)));
  const last = Math.max(0, ...chosen.map((one) => one.epochs));
  const charts = useMemo(() => chartsOf(chosen, histories), [histories, chosen.map((one) => one.id).join()]);
  return html`
    <div class="title"><h1>${run.name} <${Badge} run=${run} /></h1><p class="quiet">${run.model}, on ${run.data}</p></div>
    <${State} run=${run} />
    <section class="card" aria-label="Curves">
      <div class="row spread">
        <h2>Curves</h2>
        <div class="row wrap">
          <${Choice} label="Shown as" value=${shape} options=${[["curves", "Curves"], ["table", "Table"]]} onChange=${setShape} />
          ${shape === "curves" && html`<${Choice} label="Scale" value=${scale} options=${[["linear", "Linear"], ["log", "Log"]]} onChange=${setScale} />`}
        </div>
      </div>
      ${runs.length > 1 && html`<div class="chips" role="group" aria-label="Runs beside this one">
        <span class="chip fixed"><i class="dot" style=${{ background: series(0, theme) }}></i>${run.name}</span>
        ${runs.filter((one) => one.id !== run.id).slice(0, 40).map((one) => {
          const place = chosen.findIndex((other) => other.id === one.id);
          return html`<button type="button" class="chip" aria-pressed=${place > 0} onClick=${() => toggle(one.id)}>${place > 0 && html`<i class="dot" style=${{ background: series(place, theme) }}></i>`}${one.name}</button>`;
        })}
      </div>`}
      ${charts.length === 0 && html`<p class="quiet">The first epoch is under way.</p>`}
      ${shape === "table" ? html`<${Table} charts=${charts} runs=${chosen} histories=${histories} range=${range} />` : html`<div class="charts">
        ${charts.map((chart) => html`<${Chart} key=${chart.name} ...${chart} runs=${chosen} histories=${histories} theme=${theme} scale=${scale} range=${range} onRange=${setRange} />`)}
      </div>`}
      <${Range} last=${last} range=${range} onRange=${setRange} />
      ${shape === "curves" && html`<p class="hint">Solid: validation. Dashed: train, taken while the weights moved. Drag across a chart to zoom, double-click to see all again.</p>`}
    </section>
    ${chosen.some((one) => one.pictures > 0) && html`<${Film} key=${run.id} runs=${chosen.filter((one) => one.pictures > 0)} />`}`;
}

function State({ run }) {
  const [problem, setProblem] = useState(null);
  const [stopping, setStopping] = useState(false);
  useEffect(() => { if (!run.live) setStopping(false); }, [run.live]);
  const stop = () => {
    if (!confirm(`Stop ${run.name}? It finishes its step and saves; “elbo resume” continues it.`)) return;
    setStopping(true);
    json(`${of(run)}/stop`, {}).catch((error) => { setProblem(error); setStopping(false); });
  };
  const [terms, where] = judged(run);
  const left = run.epochs > 0 ? (run.seconds / run.epochs) * (run.epochs_planned - run.epochs) : NaN;
  return html`<section class="state" aria-label="State"><dl class="tiles">
    <div class="tile"><dt>${where} loss</dt><dd><b>${number(terms?.loss)}</b> ${run.unit}</dd></div>
    <${Parts} run=${run} bold />
    <div class="tile"><dt>epoch</dt><dd><b>${run.epochs}</b> of ${run.epochs_planned}</dd></div>
    <div class="tile"><dt>${run.live ? "left" : "took"}</dt><dd><b>${duration(run.live ? left : run.seconds)}</b></dd></div>
    <div class="tile"><dt>speed</dt><dd><b>${run.images_per_s ? count(run.images_per_s) : "–"}</b> images/s</dd></div>
    </dl>
    ${run.live && html`<button type="button" class="danger" disabled=${stopping} onClick=${stop}>${stopping ? "Stopping" : "Stop"}</button>`}
    <${Trouble} error=${problem} />
  </section>`;
}

/** Which epochs are shown: the same as dragging across a chart, without a mouse. */
function Range({ last, range, onRange }) {
  if (last < 3) return null;
  const [from, to] = range ?? [1, last];
  const set = (next) => onRange(next[0] <= 1 && next[1] >= last ? null : next);
  const read = (event, least, most) => Math.min(most, Math.max(least, Math.round(Number(event.target.value)) || least));
  return html`<div class="row wrap range" role="group" aria-label="Epochs shown">
    <label class="field">epochs <input type="number" min="1" max=${to - 1} value=${Math.round(from)} onChange=${(event) => set([read(event, 1, to - 1), to])} aria-label="First epoch shown" /></label>
    <label class="field">to <input type="number" min=${from + 1} max=${last} value=${Math.round(to)} onChange=${(event) => set([from, read(event, from + 1, last)])} aria-label="Last epoch shown" /></label>
    <button type="button" disabled=${!range} onClick=${() => onRange(null)}>Show all</button>
  </div>`;
}

/** The numbers behind the curves. */
function Table({ charts, runs, histories, range }) {
  const [from, to] = range ?? [0, Infinity];
  const columns = runs.flatMap((run) => ["validation", "train"].flatMap((part) => charts.map(({ name }) => ({ run, part, name }))));
  const filled = columns.filter(({ run, part, name }) => (histories.get(run.id) ?? []).some((record) => record[part]?.[name] !== undefined));
  const epochs = [...new Set(runs.flatMap((run) => (histories.get(run.id) ?? []).map((record) => record.epoch)))].filter((epoch) => epoch >= from && epoch <= to).sort((a, b) => a - b);
  const records = new Map(runs.map((run) => [run.id, new Map((histories.get(run.id) ?? []).map((record) => [record.epoch, record]))]));
  return html`<div class="scroll values" tabindex="0" role="region" aria-label="Values by epoch"><table>
    <thead><tr><th scope="col">epoch</th>${filled.map(({ run, part, name }) => html`<th scope="col">${runs.length > 1 && html`<span class="quiet">${run.name}</span><br />`}${name}, ${part}</th>`)}</tr></thead>
    <tbody>${epochs.map((epoch) => html`<tr key=${epoch}><th scope="row">${epoch}</th>${filled.map(({ run, part, name }) => html`<td>${number(records.get(run.id).get(epoch)?.[part]?.[name])}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** One chart with all chosen runs. */
function Chart({ name, title, unit, about, runs, histories, theme, scale, range, onRange }) {
  const place = useRef();
  const plot = useRef();
  const wanted = useRef();
  wanted.current = onRange;
  const { data, lines } = useMemo(() => {
    const epochs = [...new Set(runs.flatMap((run) => (histories.get(run.id) ?? []).map((record) => record.epoch)))].sort((a, b) => a - b);
    const columns = [];
    const lines = [];
    runs.forEach((run, index) => {
      const records = new Map((histories.get(run.id) ?? []).map((record) => [record.epoch, record]));
      for (const part of ["validation", "train"]) {
        const values = epochs.map((epoch) => records.get(epoch)?.[part]?.[name] ?? null);
        if (values.every((value) => value === null)) continue;
        columns.push(values);
        lines.push({ label: runs.length > 1 ? `${run.name}, ${part}` : part, colour: series(index, theme), dashed: part === "train" });
      }
    });
    return { data: [epochs, ...columns], lines };
  }, [runs.map((run) => run.id).join(), histories, theme]);
  const style = `${theme} ${scale} ${lines.map((line) => line.label).join()}`;

  useLayoutEffect(() => {
    const shown = (value) => (value === null || value === undefined ? "–" : number(value));
    const axis = { stroke: token("--quiet"), grid: { stroke: token("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const options = {
      width: place.current.clientWidth,
      height: 240,
      scales: { x: { time: false }, y: { distr: scale === "log" ? 3 : 1 } },
      cursor: { points: { size: 7 }, drag: { x: true, y: false, setScale: false }, sync: { key: "epochs" } },
      legend: { live: true },
      hooks: { setSelect: [(chart) => {
        if (chart.select.width < 4) return;
        const ends = [chart.select.left, chart.select.left + chart.select.width].map((left) => chart.posToVal(left, "x"));
        chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        wanted.current(ends);
      }] },
      axes: [{ ...axis, size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }, { ...axis, size: 46 }],
      padding: [8, 10, 0, 0],
      series: [
        { label: "epoch", value: (_, value) => value ?? "–" },
        ...lines.map((line) => ({ label: line.label, stroke: line.colour, width: line.dashed ? 1.5 : 2.25, dash: line.dashed ? [5, 4] : undefined, value: (_, value) => shown(value), points: { show: data[0].length < 30, size: 5 } })),
      ],
    };
    plot.current = new uPlot(options, data, place.current);
    const observer = new ResizeObserver(([entry]) => plot.current.setSize({ width: entry.contentRect.width, height: 240 }));
    observer.observe(place.current);
    return () => { observer.disconnect(); plot.current.destroy(); plot.current = null; };
  }, [style]);
  useEffect(() => {
    if (!plot.current || plot.current.series.length !== data.length) return;
    // A chart that is zoomed in stays where it is while new epochs come.
    plot.current.setData(data, !range);
    if (range) plot.current.setScale("x", { min: range[0], max: range[1] });
  }, [data, style, range?.join()]);
  const all = () => onRange(null);

  const last = runs.map((run) => histories.get(run.id)?.at(-1)).find(Boolean);
  const value = last?.validation?.[name] ?? last?.train?.[name];
  return html`<figure class="chart">
    <figcaption title=${about}><b>${title}</b> <span class="quiet">${unit}</span> <span class="value">${number(value)}</span></figcaption>
    <div ref=${place} onDblClick=${all} role="img" aria-label=${`${title} by epoch; the last is ${number(value)}`}></div>
  </figure>`;
}

/** What training draws after each epoch: a name, what it is, and for a run where its pictures are and how many. */
const FILMS = [
  ["samples", "Samples", "samples, always from the same codes", (run) => ["pictures", has(run, "prior") ? run.pictures : 0]],
  // Without a prior there is nothing to sample: the only pictures are examples gone through the model.
  ["reconstructions", "Reconstructions", "held-out examples and what became of them", (run) => (has(run, "prior") ? ["reconstructions", run.reconstructions] : ["pictures", run.pictures])],
];

/** What the runs drew after each epoch, as a film. */
function Film({ runs: all }) {
  const kinds = FILMS.filter(([, , , frames]) => all.some((run) => frames(run)[1] > 0));
  const [chosen, setKind] = useState(kinds[0][0]);
  const [kind, , about, frames] = kinds.find(([key]) => key === chosen) ?? kinds[0];
  const runs = all.filter((run) => frames(run)[1] > 0);
  const length = Math.max(...runs.map((run) => frames(run)[1]));
  const frame = (run) => Math.min(epoch, frames(run)[1]);
  const [epoch, setEpoch] = useState(length);
  const [playing, setPlaying] = useState(false);
  const follows = useRef(true);
  useEffect(() => { if (follows.current) setEpoch(length); }, [length]);
  useEffect(() => {
    if (!playing) return undefined;
    const pace = Math.max(80, Math.min(500, 4000 / length));
    const timer = setInterval(() => setEpoch((old) => {
      if (old >= length) { setPlaying(false); return old; }
      return old + 1;
    }), pace);
    return () => clearInterval(timer);
  }, [playing, length]);
  const play = () => {
    if (!playing && epoch >= length) setEpoch(1);
    follows.current = false;
    setPlaying(!playing);
  };
  const move = (event) => {
    const wanted = Number(event.target.value);
    follows.current = wanted === length;
    setEpoch(wanted);
  };
  return html`<section class="card film" aria-label="Samples by epoch">
    <div class="row spread"><h2>Learning to draw</h2>${kinds.length > 1 && html`<${Choice} label="Pictures" value=${kind} options=${kinds.map(([key, text]) => [key, text])} onChange=${setKind} />`}</div>
    <p class="quiet">Epoch <b>${Math.min(epoch, length)}</b> of ${length}: ${about}</p>
    <div class="row">
      <button type="button" class="icon" onClick=${play} aria-label=${playing ? "Pause" : "Play"}>${playing ? "❚❚" : "►"}</button>
      <input type="range" min="1" max=${length} value=${epoch} onInput=${move} aria-label="Epoch" class="grow" />
    </div>
    <div class="frames">${runs.map((run) => html`<figure key=${run.id}>
      <img src=${`${of(run)}/${frames(run)[0]}/${frame(run)}`} alt=${`${run.name}, epoch ${frame(run)}: ${about}`} />
      ${runs.length > 1 && html`<figcaption class="quiet">${run.name}</figcaption>`}
    </figure>`)}</div>
    <${Preload} run=${runs[0]} folder=${frames(runs[0])[0]} count=${frames(runs[0])[1]} />
  </section>`;
}

/** Frames ahead of time, so that the film does not flicker. */
function Preload({ run, folder, count }) {
  useEffect(() => {
    const images = Array.from({ length: Math.min(count, 200) }, (_, index) => Object.assign(new Image(), { src: `${of(run)}/${folder}/${index + 1}` }));
    return () => images.forEach((image) => { image.src = ""; });
  }, [run.id, folder, count]);
  return null;
}
