// What a run's model can do, what a view asks of it, and why that is missing.
import { html } from "/ui/vendor/preact-htm.js";

/** Whether the run's model has a capability, by its name in `run.can`. */
export const has = (run, capability) => run.can.includes(capability);

/** What views ask for: whether a run has it, and what a run that has it does. */
const NEEDS = {
  pictures: [(run) => !run.columns, "was trained on pictures"],
  encode: [(run) => has(run, "encode") && run.latent > 0, "encodes examples to one vector code"],
  decode: [(run) => has(run, "decode") && run.latent > 0, "decodes one vector code"],
  codes: [(run) => has(run, "discrete"), "encodes pictures to codes of a codebook"],
  draw: [(run) => has(run, "decode") && (run.latent > 0 || has(run, "discrete")), "decodes one vector code or codes of a codebook"],
  redraw: [(run) => has(run, "encode") && has(run, "decode") && (run.latent > 0 || has(run, "discrete")), "encodes examples to codes and decodes them"],
  source: [(run) => has(run, "prior") || has(run, "encode"), "has a prior, or codes that one can be fitted to"],
  score: [(run) => has(run, "encode") && has(run, "observe"), "has a likelihood p(x|z)"],
};

/** What the run lacks of these needs, as in "a run that ..."; null if nothing. */
export function lacks(run, needs) {
  const missing = needs.find((need) => !NEEDS[need][0](run));
  return missing ? NEEDS[missing][1] : null;
}

/** Why a view is not there for a run. */
export const reason = (run, title, lack) => `${title} needs a run that ${lack}. ${run.name} is none: ${run.model}, on ${run.data}.`;

/** In place of a view that the run cannot fill. */
export const Lacking = ({ run, title, lack }) => html`
  <div class="title"><h1>${title}</h1><p class="quiet">${run.name}</p></div>
  <section class="card lacking"><p>${reason(run, title, lack)}</p>${run.columns && html`<p class="quiet">Of a table, <code>elbo sample</code>, <code>elbo traverse</code> and <code>elbo score</code> write rows.</p>`}${needsDirections(run, lack) && html`<p class="quiet">Its codes are symbols, entries of a codebook, without directions to walk along. <a href=${`#/codebook/${encodeURIComponent(run.id)}`}>Codebook</a> shows them and exchanges them, <a href=${`#/make/${encodeURIComponent(run.id)}`}>Make</a> draws new ones.</p>`}</section>`;

/** Whether what it lacks is a vector code, while it has codes of another kind. */
const needsDirections = (run, lack) => has(run, "discrete") && [NEEDS.encode[1], NEEDS.decode[1]].includes(lack);

/** What the same request says of a class: its place, or all of them in turn; nothing for a run that is told none. */
export const IN_TURN = -1;
export const toldClass = (run, chosen) => (!run.conditional ? undefined : chosen === IN_TURN ? run.classes.map((_, place) => place) : chosen);

/** Which class a conditional run is told; nothing for other runs. */
export const ClassChoice = ({ run, value, onChange, label = "class", inTurn }) => run.conditional && html`<label class="field class">${label}
  <select value=${value} onChange=${(event) => onChange(Number(event.target.value))}>
    ${inTurn && html`<option value=${IN_TURN} selected=${value === IN_TURN}>${inTurn}</option>`}
    ${run.classes.map((name, place) => html`<option value=${place} selected=${place === value}>${name}</option>`)}
  </select></label>`;
