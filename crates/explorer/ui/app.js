// The shell: which runs there are, which one and which view is looked at.
import { html, render, useEffect, useMemo, useState } from "/ui/vendor/preact-htm.js";
import { json } from "/ui/api.js";
import { Lacking, lacks, reason } from "/ui/needs.js";
import { Trouble, Waiting } from "/ui/parts.js";
import { VIEWS } from "/ui/views.js";
import { Runs } from "/ui/runs.js";
import { Training } from "/ui/training.js";
import { LatentMap } from "/ui/map.js";
import { Knobs } from "/ui/knobs.js";
import { Codebook } from "/ui/codebook.js";
import { Make } from "/ui/make.js";
import { Try } from "/ui/try.js";
import { Compare } from "/ui/compare.js";

const PAGES = { runs: Runs, training: Training, map: LatentMap, knobs: Knobs, codebook: Codebook, make: Make, try: Try, compare: Compare };
const ALL_RUNS = new Set(["runs", "training", "compare"]);

/** All runs by id, kept up to date by the service's events. */
function useRuns() {
  const [runs, setRuns] = useState(null);
  const [error, setError] = useState(null);
  const [connected, setConnected] = useState(true);
  useEffect(() => {
    // What events tell before the list is there waits for it: views begin with all runs or none.
    let early = [];
    const load = () => json("/api/runs").then((list) => {
      const found = new Map(list.map((run) => [run.id, run]));
      early?.filter((run) => !(run.updated < found.get(run.id)?.updated)).forEach((run) => found.set(run.id, run));
      early = null;
      setRuns(found);
      setError(null);
    }, setError);
    load();
    const events = new EventSource("/api/events");
    events.addEventListener("run", (event) => {
      const run = JSON.parse(event.data);
      if (early) early.push(run);
      else setRuns((old) => new Map(old).set(run.id, run));
    });
    events.addEventListener("lagged", load);
    events.onopen = () => setConnected(true);
    events.onerror = () => setConnected(false);
    return () => events.close();
  }, []);
  const list = useMemo(() => runs && [...runs.values()].sort((a, b) => b.live - a.live || b.updated - a.updated || a.id.localeCompare(b.id)), [runs]);
  return { runs: list, error, connected };
}

/** The address: `#/view/run`. */
function useAddress() {
  const read = () => {
    const [view, id] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
    return { view: VIEWS.some(([key]) => key === view) ? view : "runs", id };
  };
  const [address, setAddress] = useState(read);
  useEffect(() => {
    const changed = () => setAddress(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const go = (view, id = address.id) => { location.hash = id ? `#/${view}/${encodeURIComponent(id)}` : `#/${view}`; };
  return [address, go];
}

function useTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const current = () => document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
  const [theme, setTheme] = useState(current);
  useEffect(() => {
    const changed = () => setTheme(current());
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }, []);
  const toggle = () => {
    const next = theme === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem("elbo-theme", next); } catch { /* only for this visit then */ }
    setTheme(next);
  };
  return [theme, toggle];
}

function App() {
  const { runs: all, error, connected } = useRuns();
  const runs = useMemo(() => all?.filter((one) => one.status !== "unreadable"), [all]);
  const unreadable = useMemo(() => all?.filter((one) => one.status === "unreadable"), [all]);
  const [address, go] = useAddress();
  const [theme, toggleTheme] = useTheme();
  const run = runs?.find((one) => one.id === address.id) ?? runs?.find((one) => one.weights) ?? runs?.[0];
  // On a narrow screen the views are a strip: the current one is brought into sight.
  // (Not by scrollIntoView, which would also move where Tab begins.)
  useEffect(() => {
    const strip = document.querySelector(".top nav");
    const link = strip?.querySelector("[aria-current]");
    if (link) strip.scrollLeft = link.offsetLeft - strip.offsetLeft - (strip.clientWidth - link.offsetWidth) / 2;
  }, [address.view]);
  const [, title, needs] = VIEWS.find(([key]) => key === address.view);
  const lack = run ? lacks(run, needs) : null;
  const View = lack ? Lacking : PAGES[address.view];
  useEffect(() => { document.title = run && !ALL_RUNS.has(address.view) ? `${title} · ${run.name} · elbo` : `${title} · elbo`; }, [title, run?.name]);
  return html`
    <a class="skip" href="#content">Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/runs" aria-label="elbo: all runs"><img src="/ui/icon.svg" alt="" width="26" height="26" />elbo</a>
      <nav aria-label="Views">
        ${VIEWS.map(([key, text, needs]) => html`<${ViewLink} view=${key} title=${text} lack=${run ? lacks(run, needs) : null} run=${run} current=${key === address.view} />`)}
      </nav>
      <div class="tools">
        ${runs?.length > 0 && html`<label class="picker"><span class="hidden">Run</span>
          <select value=${run.id} onChange=${(event) => go(address.view === "runs" ? "training" : address.view, event.target.value)}>
            ${runs.map((one) => html`<option value=${one.id} selected=${one.id === run.id}>${one.name}</option>`)}
          </select></label>`}
        <button type="button" class="icon" onClick=${toggleTheme} aria-label=${theme === "dark" ? "Light colours" : "Dark colours"} title=${theme === "dark" ? "Light colours" : "Dark colours"}>${theme === "dark" ? "☀" : "☾"}</button>
      </div>
    </header>
    <main id="content" tabindex="-1">
      ${!connected && html`<p class="trouble" role="alert">The service does not answer. It may have been stopped; this page tries again by itself.</p>`}
      <${Trouble} error=${runs ? null : error} />
      ${!runs && !error && html`<${Waiting}>Looking for runs<//>`}
      ${runs && (all.length === 0 ? html`<${Empty} />` : !run ? html`<${Runs} runs=${runs} unreadable=${unreadable} go=${go} />` : html`<${View} key=${ALL_RUNS.has(address.view) ? address.view : `${address.view}/${run.id}`} run=${run} runs=${runs} unreadable=${unreadable} go=${go} theme=${theme} title=${title} lack=${lack} />`)}
    </main>`;
}

/** A view in the bar at the top. One that the run cannot fill is grey and says why; it can still be opened, and says it there. */
function ViewLink({ view, title, run, lack, current }) {
  const href = run ? `#/${view}/${encodeURIComponent(run.id)}` : `#/${view}`;
  const why = lack ? reason(run, title, lack) : undefined;
  return html`<a href=${href} class=${lack ? "off" : undefined} aria-disabled=${lack ? "true" : undefined} title=${why} aria-description=${why} aria-current=${current ? "page" : undefined}>${title}</a>`;
}

const Empty = () => html`<section class="card empty">
  <h1>No runs yet</h1>
  <p>Train a model in another terminal; it appears here with its first step, and its curves and samples grow as you look.</p>
  <pre><code>elbo train mnist-2d</code></pre>
</section>`;

render(html`<${App} />`, document.getElementById("app"));
