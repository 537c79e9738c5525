// The places of a map of codes, laid over a picture.
import { html, useRef, useState } from "/ui/vendor/preact-htm.js";

/** The place under a pointer. */
function placeUnder(event, element, { height, width }) {
  const box = element.getBoundingClientRect();
  const at = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
  return at((event.clientY - box.top) / box.height, height) * width + at((event.clientX - box.left) / box.width, width);
}

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * A grid of `level.height` by `level.width` places over its children, a picture. `cell` gives the class and the opacity of a place; `onPlace` hears
 * of a place that is pressed, dragged over (its second argument) or chosen by keyboard. Without it the grid is only looked at.
 */
export function CodeGrid({ level, label, cell = () => ({}), onPlace, children }) {
  const grid = useRef();
  const held = useRef(null);
  const [cursor, setCursor] = useState(null);
  const { height, width } = level;
  const press = (event) => { grid.current.setPointerCapture(event.pointerId); held.current = placeUnder(event, grid.current, level); setCursor(null); onPlace(held.current, false); };
  const drag = (event) => {
    if (held.current === null) return;
    const place = placeUnder(event, grid.current, level);
    if (place !== held.current) { held.current = place; onPlace(place, true); }
  };
  const release = () => { held.current = null; };
  const keys = (event) => {
    const now = cursor ?? 0;
    const move = MOVES[event.key];
    if (move) {
      const [row, column] = [Math.floor(now / width) + move[0], (now % width) + move[1]];
      if (cursor === null) setCursor(now);
      else if (row >= 0 && row < height && column >= 0 && column < width) setCursor(row * width + column);
    } else if (event.key === "Enter" || event.key === " ") { setCursor(now); onPlace(now, false); } else return;
    event.preventDefault();
  };
  const act = onPlace ? { onPointerDown: press, onPointerMove: drag, onPointerUp: release, onPointerCancel: release, onKeyDown: keys, onBlur: () => setCursor(null), tabindex: "0", role: "application" } : { role: "img" };
  return html`<div class=${`codegrid ${onPlace ? "live" : ""}`}>${children}
    <svg ref=${grid} viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-label=${onPlace ? `${label}. Arrow keys move over the places, Enter chooses one.` : label} ...${act}>
      ${Array.from({ length: height * width }, (_, place) => {
        const { kind = "", opacity, title } = cell(place);
        return html`<rect class=${`${kind} ${place === cursor ? "cursor" : ""}`} x=${place % width} y=${Math.floor(place / width)} width="1" height="1" style=${opacity === undefined ? undefined : { fillOpacity: opacity }}>${title && html`<title>${title}</title>`}</rect>`;
      })}
    </svg></div>`;
}

/** Numbers by place as heat, on nothing: pale to strong, up to the largest of them. */
export function HeatGrid({ level, values, label, title }) {
  const most = Math.max(...values, 1e-9);
  return html`<div class="heat" style=${{ aspectRatio: `${level.width} / ${level.height}` }}><${CodeGrid} level=${level} label=${label} cell=${(place) => ({ kind: "hot", opacity: (0.9 * values[place]) / most, title: title?.(values[place]) })} /></div>`;
}

/** What a codebook of a level is called where there are several. */
export function bookName({ groups, depth }, book) {
  const [group, deep] = [Math.floor(book / depth), book % depth];
  return [groups > 1 && `group ${group + 1}`, depth > 1 && `depth ${deep + 1}`].filter(Boolean).join(", ");
}

/** Codes of a place. */
export const books = (level) => level.groups * level.depth;

/** Where the code of a place is in a row. */
export const inRow = (level, book, place) => level.first + book * level.height * level.width + place;

/** Where all codes of a place are in a row. */
export const codesAt = (level, place) => Array.from({ length: books(level) }, (_, book) => inRow(level, book, place));

/** The patches of codes put together as the map has them: what a row of codes says, without the decoder. */
export function assembled(row, level, book, found) {
  const [, channels, high, wide] = found.shape;
  const place = new Map(found.codes.map((code, index) => [code, index]));
  const [height, width] = [level.height * high, level.width * wide];
  const bytes = new Uint8Array(channels * height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const index = place.get(row[inRow(level, book, Math.floor(y / high) * level.width + Math.floor(x / wide))]);
      if (index === undefined) continue;
      for (let c = 0; c < channels; c++) bytes[(c * height + y) * width + x] = Math.round(255 * found.images[index][(c * high + (y % high)) * wide + (x % wide)]);
    }
  }
  return { n: 1, channels, height, width, bytes };
}
