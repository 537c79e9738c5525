// Part of a picture's codes stays, the prior draws the rest.
import { html, useEffect, useMemo, useState } from "/ui/vendor/preact-htm.js";
import { each, json, newest, of, pictures } from "/ui/api.js";
import { CodeGrid } from "/ui/codegrid.js";
import { Choices, PLAIN, asked } from "/ui/drawing.js";
import { Choice, HeldOutChoice, Picture, Trouble, Waiting, useLoaded } from "/ui/parts.js";

const DRAWN = 16;
/** What is kept at a place of a map, by where it begins in shares of the picture; as `elbo complete --keep` has them. */
const HALVES = [["top half", (y) => y < 0.5], ["bottom half", (y) => y >= 0.5], ["left half", (_, x) => x < 0.5], ["right half", (_, x) => x >= 0.5], ["nothing", () => false]];

/** Where each place of a map is, in shares of the picture: the middle of it. */
const middles = ({ height, width }) => Array.from({ length: height * width }, (_, place) => [(Math.floor(place / width) + 0.5) / height, ((place % width) + 0.5) / width]);

/** The finest map: what is kept is drawn on it. */
const finest = (levels) => levels.reduce((best, level) => (level.height * level.width > best.height * best.width ? level : best));

/** Which codes of a row are kept: those of a coarser place only if all that lies in it is. */
function keptCodes(about, level, kept) {
  const fine = middles(level);
  return about.levels.flatMap((other) => {
    const all = Array.from({ length: other.height * other.width }, () => true);
    const covered = Array.from({ length: all.length }, () => false);
    fine.forEach(([y, x], place) => {
      const within = Math.floor(y * other.height) * other.width + Math.floor(x * other.width);
      covered[within] = true;
      if (!kept[place]) all[within] = false;
    });
    const map = all.map((whole, place) => whole && covered[place]);
    return Array.from({ length: other.codes / map.length }, () => map).flat();
  });
}

export function Complete({ run, about }) {
  const level = finest(about.levels);
  const half = (keeps) => Array.from({ length: level.height * level.width }, (_, place) => keeps(Math.floor(place / level.width) / level.height, (place % level.width) / level.width));
  const [index, setIndex] = useState(0);
  const [kept, setKept] = useState(() => half(HALVES[0][1]));
  const [brush, setBrush] = useState(true);
  const [choices, setChoices] = useState(PLAIN);
  const [drawn, setDrawn] = useState(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const source = useLoaded(() => json(`${of(run)}/encode`, { indices: [index] }), [run.id, index]);
  const own = source.value?.symbols[0];
  const decoded = useLoaded(() => (own ? pictures(`${of(run)}/decode`, { symbols: [own] }) : Promise.resolve(null)), [own]);
  const draw = useMemo(() => newest(async (symbols, kept, choices) => {
    setBusy(true);
    try {
      const is_kept = keptCodes(about, level, kept);
      setDrawn(each(await pictures(`${of(run)}/sample`, { n: DRAWN, ...asked(choices, about.prior), kept: { symbols, is_kept } })));
      setProblem(null);
    } catch (error) { setProblem(error); }
    setBusy(false);
  }), [run.id, about]);
  useEffect(() => { if (own) draw(own, kept, choices); }, [own, kept, choices]);
  const paint = (place) => { if (kept[place] !== brush) setKept(kept.map((old, i) => (i === place ? brush : old))); };
  const left = kept.filter(Boolean).length;
  return html`<div class="make completion">
    <section class="card board-like" aria-label="What is kept">
      <div class="toolbar"><${HeldOutChoice} run=${run} index=${index} onChange=${setIndex} /></div>
      <${Trouble} error=${source.error ?? decoded.error} />
      ${decoded.value ? html`<figure><${CodeGrid} level=${level} label="What is kept of the picture" cell=${(place) => ({ kind: kept[place] ? "kept" : "gone" })} onPlace=${paint}><${Picture} picture=${decoded.value} label="" className="big" /><//>
        <figcaption class="quiet numbers">${left} of ${kept.length} places kept</figcaption></figure>` : !source.error && html`<${Waiting} />`}
      <div class="row wrap buttons"><${Choice} label="Drawing on the picture" value=${brush} options=${[[true, "Keep"], [false, "Redraw"]]} onChange=${setBrush} /></div>
      <div class="chips" role="group" aria-label="Keep">${HALVES.map(([name, keeps]) => html`<button type="button" class="chip" onClick=${() => setKept(half(keeps))}>${name}</button>`)}</div>
      <p class="hint">Draw on the picture. The prior reads its codes row by row, so it sees what is kept before a place and not what comes after it: the top half suits it best.</p>
    </section>
    <section class="card grow" aria-label="What the prior draws">
      <div class="toolbar"><${Choices} prior=${about.prior} value=${choices} onChange=${setChoices} /></div>
      <${Trouble} error=${problem} />
      ${drawn ? html`<div class=${`sheet completions ${busy ? "busy" : ""}`}>${drawn.map((picture, i) => html`<${Picture} key=${i} picture=${picture} label=${`Completion ${i + 1}`} />`)}</div>` : busy && html`<${Waiting}>Drawing codes<//>`}
      <p class="hint">${DRAWN} completions, each with the codes that are kept and others of its own; as <code>elbo complete</code> draws them.</p>
    </section>
  </div>`;
}
