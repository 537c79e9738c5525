// All runs: what each is, how it does, and what it draws.
import { html } from "/ui/vendor/preact-htm.js";
import { of } from "/ui/api.js";
import { lacks } from "/ui/needs.js";
import { OF_A_MODEL } from "/ui/views.js";
import { Badge, Parts, count, duration, judged, number } from "/ui/parts.js";

export function Runs({ runs, unreadable, go }) {
  const live = runs.filter((run) => run.live).length;
  const hurt = unreadable.length;
  return html`
    <div class="title"><h1>Runs</h1><p class="quiet">${runs.length} ${runs.length === 1 ? "run" : "runs"}${live > 0 && `, ${live} in training`}${hurt > 0 && `, ${hurt} that cannot be read`}</p></div>
    <div class="cards">${runs.map((run) => html`<${RunCard} key=${run.id} run=${run} go=${go} />`)}${unreadable.map((run) => html`<${HurtCard} key=${run.id} run=${run} />`)}</div>`;
}

/** A folder that was meant to be a run. */
const HurtCard = ({ run }) => html`<article class="card run hurt">
  <span class="thumb" aria-hidden="true"><span class="nothing">no run</span></span>
  <div class="about"><h2>${run.name} <${Badge} run=${run} /></h2><p class="words">${run.error}</p><p class="foot quiet">It appears here as soon as its files are put right.</p></div>
</article>`;

function RunCard({ run, go }) {
  const [terms, split] = judged(run);
  const done = run.epochs_planned ? run.epochs / run.epochs_planned : 0;
  const left = run.live && run.epochs > 0 ? (run.seconds / run.epochs) * (run.epochs_planned - run.epochs) : null;
  return html`<article class="card run">
    <a class="thumb" href=${`#/training/${run.id}`} tabindex="-1" aria-hidden="true">
      ${run.pictures > 0 ? html`<img src=${`${of(run)}/pictures/${run.pictures}`} alt="" loading="lazy" />` : html`<span class="nothing">${run.columns ? `${run.columns.length} columns` : "no picture yet"}</span>`}
    </a>
    <div class="about">
      <h2><a href=${`#/training/${run.id}`}>${run.name}</a> <${Badge} run=${run} /></h2>
      <p class="quiet">${run.model}</p>
      <dl class="facts">
        <div><dt>${split} loss</dt><dd>${number(terms?.loss)}</dd></div>
        <${Parts} run=${run} />
        <div><dt>data</dt><dd>${run.data}</dd></div>
        <div><dt>speed</dt><dd>${run.images_per_s ? `${count(run.images_per_s)}/s` : "–"}</dd></div>
      </dl>
      <div class="bar" role="progressbar" aria-label=${`epochs of ${run.name}`} aria-valuemin="0" aria-valuemax=${run.epochs_planned} aria-valuenow=${run.epochs}><i style=${{ width: `${100 * done}%` }}></i></div>
      <p class="foot quiet">epoch ${run.epochs} of ${run.epochs_planned} · ${duration(run.seconds)}${left !== null && ` · ${duration(left)} left`}</p>
      <p class="links">
        ${run.weights && OF_A_MODEL.filter(([, , needs]) => !lacks(run, needs)).map(([view, title]) => html`<button type="button" class="link" onClick=${() => go(view, run.id)}>${title}</button>`)}
      </p>
    </div>
  </article>`;
}
