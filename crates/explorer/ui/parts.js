// Small parts that all views share.
import { html, useEffect, useLayoutEffect, useRef, useState } from "/ui/vendor/preact-htm.js";
import { has } from "/ui/needs.js";

/** Writes a picture of grey or RGB bytes, channel first, into image data. */
export function paint(picture, target = new ImageData(picture.width, picture.height)) {
  const plane = picture.width * picture.height;
  const [red, green, blue] = picture.channels >= 3 ? [0, plane, 2 * plane] : [0, 0, 0];
  for (let i = 0; i < plane; i++) {
    target.data[4 * i] = picture.bytes[red + i];
    target.data[4 * i + 1] = picture.bytes[green + i];
    target.data[4 * i + 2] = picture.bytes[blue + i];
    target.data[4 * i + 3] = 255;
  }
  return target;
}

/** JSON numbers as a picture of bytes. */
export const pictureOf = (values, [, channels, height, width]) => ({ n: 1, channels, height, width, bytes: Uint8Array.from(values, (value) => Math.round(Math.min(1, Math.max(0, value)) * 255)) });

/** A picture, enlarged with hard pixels. */
export function Picture({ picture, label, size, className = "" }) {
  const canvas = useRef();
  useLayoutEffect(() => {
    if (!picture) return;
    canvas.current.width = picture.width;
    canvas.current.height = picture.height;
    canvas.current.getContext("2d").putImageData(paint(picture), 0, 0);
  }, [picture]);
  const style = size ? { width: `${size}px` } : undefined;
  return html`<canvas ref=${canvas} class=${`picture ${className}`} style=${style} width="28" height="28" role=${label ? "img" : undefined} aria-label=${label || undefined} aria-hidden=${label ? undefined : "true"}></canvas>`;
}

/** The difference of two pictures: blue where the second is darker, orange where it is brighter. */
export function difference(a, b) {
  const plane = a.width * a.height;
  const bytes = new Uint8Array(3 * plane);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? document.documentElement.dataset.theme !== "light" : document.documentElement.dataset.theme === "dark";
  for (let i = 0; i < plane; i++) {
    let sum = 0;
    for (let c = 0; c < a.channels; c++) sum += b.bytes[c * plane + i] - a.bytes[c * plane + i];
    const change = sum / a.channels / 255;
    const strength = Math.min(1, Math.abs(change) * 1.3);
    const far = change > 0 ? [226, 113, 29] : [47, 111, 222];
    const near = dark ? [25, 28, 34] : [255, 255, 255];
    for (let c = 0; c < 3; c++) bytes[c * plane + i] = near[c] + (far[c] - near[c]) * strength;
  }
  return { n: 1, channels: 3, height: a.height, width: a.width, bytes };
}

/** Runs `load` whenever `keys` change; what comes too late is dropped. `load` may ask whether it is still wanted. */
export function useLoaded(load, keys) {
  const [state, setState] = useState({ value: null, error: null, busy: true });
  useEffect(() => {
    let wanted = true;
    setState((old) => ({ ...old, error: null, busy: true }));
    load(() => wanted).then(
      (value) => wanted && setState({ value, error: null, busy: false }),
      (error) => wanted && setState({ value: null, error, busy: false }),
    );
    return () => { wanted = false; };
  }, keys);
  return state;
}

/** What went wrong, in the service's words. */
export const Trouble = ({ error }) => error && html`<p class="trouble" role="alert">${error.message}</p>`;

/** Words of which those between backticks are typed. */
export const worded = (text) => text.split("`").map((part, place) => (place % 2 === 1 ? html`<code>${part}</code>` : part));

export const Waiting = ({ children = "Asking the model" }) => html`<p class="waiting" role="status"><span class="spinner" aria-hidden="true"></span>${children}</p>`;

/** What a run is judged by now: its test numbers, else those of its last epoch; and the split they are over. */
export function judged(run) {
  if (run.test) return [run.test, "test"];
  return run.last?.validation ? [run.last.validation, "validation"] : [run.last?.train, "train"];
}

/** The names of a run's terms as its records have them, the loss first, without those that are always 0: the KL that an autoencoder lacks. */
export function termNames(records) {
  const splits = records.flatMap((record) => [record?.train, record?.validation]).filter(Boolean);
  const names = [...new Set(splits.flatMap(Object.keys))].filter((name) => splits.some((terms) => terms[name] !== 0));
  return [...names.filter((name) => name === "loss"), ...names.filter((name) => name !== "loss")];
}

/** The terms that the loss is made of, where there are several: their names and their numbers, as in `recon + kl`. */
export function Parts({ run, bold }) {
  const [terms] = judged(run);
  const names = termNames([run.last]).slice(1);
  const shown = (name) => (bold ? html`<b>${number(terms?.[name], 1)}</b>` : number(terms?.[name], 1));
  // Only of a bound is it said that it is their sum.
  const between = has(run, "bound") ? " + " : " · ";
  return names.length > 1 && html`<div class=${bold ? "tile" : undefined}><dt>${names.join(between)}</dt><dd>${names.map((name, place) => html`${place > 0 && between}${shown(name)}`)}</dd></div>`;
}

/** Something that takes its time, and since when it does. */
export const Computing = ({ found, children }) => html`<${Waiting}>${children}${found?.seconds >= 1 ? html` <span class="numbers">· ${Math.round(found.seconds)} s</span>` : ""}<//>`;

export function Badge({ run }) {
  const kind = run.live ? "live" : run.status === "finished" || run.status === "stopped early" ? "good" : ["diverged", "failed", "unreadable"].includes(run.status) ? "bad" : "";
  const text = run.live ? "training" : run.status === "running" ? "cut short" : run.status;
  return html`<span class=${`badge ${kind}`}>${text}</span>`;
}

/** Numbers as people read them. */
export const number = (value, digits = 2) => value === null || value === undefined ? "–" : Number(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const count = (value) => Math.round(value).toLocaleString("en");

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** The colours of the report: series for curves, classes for labels. */
const SERIES = {
  light: ["#2f6fde", "#e2711d", "#1b998b", "#b5379b", "#7a5cd6", "#b08900", "#c8354a", "#5b6675"],
  dark: ["#6ea8ff", "#ff9f55", "#3fd0bd", "#f07ad6", "#b19bff", "#e0bd3a", "#ff7f8c", "#a3adba"],
};
const CLASSES = {
  light: ["#3366cc", "#e2711d", "#1f9e5a", "#d62b3f", "#8250c4", "#8c5a3c", "#d94fa5", "#6b7280", "#a8a000", "#12a5bd"],
  dark: ["#6c9bff", "#ffa04d", "#4fd18b", "#ff6b78", "#b590ff", "#cf9a78", "#ff8fd0", "#a9b1bd", "#d9d24a", "#46d3e8"],
};

export const series = (index, theme) => SERIES[theme][index % 8];
export function classColour(index, theme) {
  if (index === null || index === undefined) return SERIES[theme][0];
  if (index < 10) return CLASSES[theme][index];
  const hue = (index * 137.508) % 360;
  return `hsl(${hue} 62% ${theme === "dark" ? [68, 78, 58][index % 3] : [42, 55, 34][index % 3]}%)`;
}

/** A colour of the page's own, by its name in the style sheet. */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Saves a canvas or bytes as a file of the user's. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Examples of the held-out split. */
export const heldOut = (run) => run.examples[2] || run.examples[1] || run.examples[0];

/** Which of them is looked at. */
export function HeldOutChoice({ run, index, onChange }) {
  const held = heldOut(run);
  return html`<label class="field">picture <input type="number" min="0" max=${held - 1} value=${index} onChange=${(event) => onChange(Math.min(held - 1, Math.max(0, Math.floor(Number(event.target.value) || 0))))} /></label>
    <button type="button" onClick=${() => onChange(Math.floor(Math.random() * held))}>Another</button>`;
}

/** A row of choices of which one holds. */
export function Choice({ label, value, options, onChange }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(([key, text]) => html`<button type="button" aria-pressed=${key === value} onClick=${() => onChange(key)}>${text}</button>`)}
  </div>`;
}
