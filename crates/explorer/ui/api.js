// Asking the service.

/** A request that was refused, with the service's own words. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.error ?? `status ${status}`);
    this.status = status;
    this.kind = problem.type;
    this.field = problem.field;
  }
}

async function ask(path, { accept, ...options } = {}) {
  const headers = { Accept: accept ?? "application/json", ...options.headers };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  throw new Refused(response.status, await response.json().catch(() => ({})));
}

const body = (value) => ({ method: "POST", body: JSON.stringify(value), headers: { "Content-Type": "application/json" } });

/** GET, or POST when there is something to send; JSON comes back. */
export async function json(path, value) {
  return (await ask(path, value === undefined ? {} : body(value))).json();
}

/** As `json`, asking again while the answer is that it is still being computed. `told` hears how far it is; once it says false, nothing comes. */
export async function finished(path, value, told = () => true) {
  for (;;) {
    const response = await ask(path, body(value));
    const found = await response.json();
    if (response.status !== 202) return found;
    if (told(found) === false) return null;
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
}

/** Pictures as bytes, with their shape. `value` may be a Blob: an encoded picture. */
export async function pictures(path, value) {
  const sent = value instanceof Blob ? { method: "POST", body: value, headers: { "Content-Type": value.type } } : body(value);
  const options = value === undefined ? {} : sent;
  const response = await ask(path, { accept: "application/octet-stream", ...options });
  const [n, channels, height, width] = response.headers.get("X-Elbo-Shape").split(",").map(Number);
  return { n, channels, height, width, bytes: new Uint8Array(await response.arrayBuffer()) };
}

/** What would come as pictures, as an animation; none where it is refused. */
export async function gif(path, value) {
  try { return await (await ask(path, { accept: "image/gif", ...body(value) })).blob(); } catch (error) { if (error instanceof Refused) return null; throw error; }
}

/** One picture of several. */
export function pick(pictures, index) {
  const size = pictures.channels * pictures.height * pictures.width;
  return { ...pictures, n: 1, bytes: pictures.bytes.subarray(index * size, (index + 1) * size) };
}

/** All of them. */
export const each = (pictures) => Array.from({ length: pictures.n }, (_, index) => pick(pictures, index));

export const of = (run) => `/api/runs/${encodeURIComponent(run.id)}`;

/**
 * Calls `work` with the newest arguments, never twice at a time: what follows the hand must not queue up behind it. Its last argument tells whether
 * newer ones wait.
 */
export function newest(work) {
  let running = false;
  let waiting = null;
  return async function call(...args) {
    waiting = args;
    if (running) return;
    running = true;
    while (waiting) {
      const next = waiting;
      waiting = null;
      try {
        await work(...next, () => waiting !== null);
      } catch (error) {
        console.warn(error.message);
      }
    }
    running = false;
  };
}
