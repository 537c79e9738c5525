// The page of `elbo serve` in a real browser.
//
//   npm ci && node test.mjs            in this folder, after `cargo build --release --workspace`
//
// Words after it choose tests by name. ELBO names the binary, CHROMIUM the browser, ELBO_RUNS a folder of runs to look at instead of small ones trained
// here, UI a folder to take the page from instead of the binary (../crates/explorer/ui, without building), PATIENCE a
// factor for what computes long, for builds that are not optimised. Screenshots go to output/.
//
//   PICTURE=../docs/explorer.png PICTURE_RUN=mnist-2d-001 ELBO_RUNS=../runs node test.mjs README
//
// writes the README's picture: the latent map of that run.
import { spawn, spawnSync } from "node:child_process";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const here = import.meta.dirname;
const elbo = process.env.ELBO ?? join(here, "../target/release/elbo");
const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const output = join(here, "output");
const folder = mkdtempSync(join(tmpdir(), "elbo-e2e-"));
const environment = { ...process.env, ELBO_HOME: join(folder, "home"), ELBO_OFFLINE: "1" };
const children = [];
/** Milliseconds to wait for fits and layouts. */
const LONG = 30000 * Number(process.env.PATIENCE ?? 1);

assert.ok(existsSync(elbo), `${elbo} is not built`);
mkdirSync(output, { recursive: true });

function run(words) {
  const done = spawnSync(elbo, words, { cwd: folder, env: environment, encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
}

const train = (name, settings) => run(["train", "--quiet", "--out", join(folder, "runs", name), ...settings]);
/** A prior over the codes of a run. */
const prior = (name, settings) => run(["train", "autoregressive", "--quiet", "--codes-of", join(folder, "runs", name), ...settings]);

/** A small table of numbers. */
function table() {
  const rows = Array.from({ length: 120 }, (_, i) => [Math.sin(i), Math.cos(i), (i % 7) + Math.sin(3 * i)].map((value) => value.toFixed(4)).join(","));
  const path = join(folder, "rows.csv");
  writeFileSync(path, ["a,b,c", ...rows].join("\n") + "\n");
  return path;
}

/** A run whose configuration cannot be read. */
function tear(name) {
  const place = join(folder, "runs", name);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "run.json"), readFileSync(join(folder, "runs", "two", "run.json")));
  writeFileSync(join(place, "config.toml"), "format = 1\nnonsense = true\n");
}

/** A flag for each setting. */
const sets = (settings) => settings.flatMap((setting) => ["--set", setting]);
const small = ["--set", "data.count=3000", "--set", "network.hidden=[64]"];

/** Starts the service and reads its address. */
async function serve(runs) {
  const child = spawn(elbo, ["serve", runs, "--port", "0", "--json"], { cwd: folder, env: environment });
  children.push(child);
  const line = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (data) => { text += data; if (text.includes("\n")) resolve(text); });
    child.on("exit", () => reject(new Error(`elbo serve ended: ${text}`)));
  });
  return { child, url: JSON.parse(line).url };
}

const tests = [];
const test = (name, work) => tests.push([name, work]);

/** The pixels of a canvas, as a string to compare. */
const pixels = (page, selector) => page.locator(selector).first().evaluate((canvas) => canvas.toDataURL());
const changes = async (page, selector, before, what) => {
  await page.waitForFunction(([selector, before]) => document.querySelector(selector)?.toDataURL() !== before, [selector, before], { timeout: 5000 }).catch(() => assert.fail(`${what} did not change the picture`));
};
const open = async (page, view, heading) => {
  await page.goto(`${page.context().url}#/${view}/two`);
  await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
};
const CURSOR = ".cursor canvas.picture";

test("runs are listed", async (page) => {
  await open(page, "runs", "Runs");
  assert.equal(await page.locator("article.run:not(.hurt)").count(), 7);
  await page.getByText("epoch 2 of 2").first().waitFor();
});

test("a run that cannot be read is shown with the reason", async (page) => {
  await open(page, "runs", "Runs");
  const card = page.locator("article.hurt", { hasText: "torn" });
  await card.getByText("unreadable").waitFor();
  await card.getByText("nonsense").waitFor();
  await page.getByText("1 that cannot be read").waitFor();
});

test("curves are drawn, runs overlaid, and the film moves", async (page) => {
  await open(page, "training", /^two/);
  await page.locator(".chart canvas").first().waitFor();
  assert.equal(await page.locator(".chart").count(), 3);
  await page.locator(".card .chip", { hasText: "ten" }).click();
  await page.locator(".u-legend", { hasText: "ten, validation" }).first().waitFor();
  await page.getByLabel("Epoch", { exact: true }).fill("1");
  await page.locator('.film img[src$="/pictures/1"]').first().waitFor();
});

test("the film shows reconstructions too, of an autoencoder nothing else", async (page) => {
  await open(page, "training", /^two/);
  const drawn = () => page.locator(".film img").first().evaluate((image) => (image.complete && image.naturalWidth > 0 ? image.src : ""));
  await page.locator(".film").getByRole("button", { name: "Reconstructions" }).click();
  await page.locator('.film img[src$="/reconstructions/2"]').waitFor();
  await page.getByLabel("Epoch", { exact: true }).fill("1");
  await page.locator('.film img[src$="/reconstructions/1"]').waitFor();
  await page.waitForFunction(() => document.querySelector(".film img").naturalWidth > 0);
  assert.match(await drawn(), /reconstructions\/1$/);
  await page.goto(`${page.context().url}#/training/plain`);
  await page.locator('.film img[src$="/plain/pictures/2"]').waitFor();
  assert.equal(await page.locator(".film .choice").count(), 0);
});

test("curves have a table, and epochs are chosen without a mouse", async (page) => {
  await page.goto(`${page.context().url}#/training/ten`);
  await page.locator(".chart canvas").first().waitFor();
  const shown = (place) => page.locator(".u-legend .u-series").first().locator(".u-value").nth(place).innerText();
  await page.locator(".chart .u-over").first().hover();
  const box = await page.locator(".chart .u-over").first().boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.waitForFunction(() => /^[1-4]$/.test(document.querySelector(".u-legend .u-value")?.textContent ?? ""));
  assert.match(await shown(0), /^[1-4]$/);
  await page.getByLabel("First epoch shown").fill("2");
  await page.getByLabel("First epoch shown").press("Enter");
  const showAll = page.getByRole("button", { name: "Show all" });
  assert.ok(await showAll.isEnabled());
  await page.getByRole("button", { name: "Table", exact: true }).click();
  const rows = page.getByRole("region", { name: "Values by epoch" }).locator("tbody tr");
  assert.equal(await rows.count(), 3);
  await showAll.click();
  assert.equal(await rows.count(), 4);
  const told = await (await page.request.get(`${page.context().url}api/runs/ten/metrics`)).json();
  assert.equal(await rows.nth(1).locator("td").first().innerText(), told[1].validation.loss.toFixed(2));
  await page.getByRole("button", { name: "Curves", exact: true }).click();
  // Dragging across a chart zooms all of them; a double click shows everything again.
  await page.mouse.move(box.x + box.width * 0.4, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => document.querySelector('input[aria-label="First epoch shown"]').value !== "1");
  await page.locator(".chart .u-over").nth(1).dblclick();
  await page.waitForFunction(() => document.querySelector('input[aria-label="First epoch shown"]').value === "1");
});

test("charts, tiles and tables are those of the run's own terms", async (page) => {
  const titles = (id) => page.goto(`${page.context().url}#/training/${id}`).then(() => page.locator(".chart canvas").first().waitFor()).then(() => page.locator(".chart figcaption b").allInnerTexts());
  assert.deepEqual(await titles("two"), ["Loss", "Reconstruction", "KL divergence"]);
  assert.deepEqual(await page.locator(".chart figcaption .quiet").allInnerTexts(), ["nats", "nats", "nats"]);
  assert.match(await page.locator(".tile").nth(1).innerText(), /^recon \+ kl\n[\d.]+ \+ [\d.]+$/);
  assert.deepEqual(await titles("plain"), ["Loss", "Reconstruction"]);
  assert.deepEqual((await page.locator(".tile dt").allInnerTexts()).slice(0, 2), ["test loss", "epoch"]);
  // Another family's terms, by their names and units.
  await page.route("**/api/runs/two/metrics", async (route) => {
    const records = await (await route.fetch()).json();
    records.forEach((record) => { record.train = { perplexity: 3, commitment: 0.5, loss: 1 }; record.validation = null; });
    await route.fulfill({ json: records });
  });
  await page.goto("about:blank");
  await titles("two");
  await page.locator(".chart", { hasText: "commitment" }).waitFor();
  assert.deepEqual(await titles("two"), ["Loss", "perplexity", "commitment"]);
});

/** Opens the page with the list of runs changed on its way. */
async function withRuns(page, change) {
  await page.addInitScript(() => { globalThis.EventSource = class extends EventTarget { close() {} }; });
  await page.route("**/api/runs", async (route) => {
    const runs = await (await route.fetch()).json();
    runs.forEach(change);
    await route.fulfill({ json: runs });
  });
}

const greyed = (page) => page.locator(".top nav a[aria-disabled]").allInnerTexts();

test("views that a run cannot fill are grey and say why", async (page) => {
  await open(page, "training", /^two/);
  assert.deepEqual(await greyed(page), ["Codebook"]);
  assert.match(await page.locator(".top nav a", { hasText: "Codebook" }).getAttribute("title"), /^Codebook needs a run that encodes pictures to codes of a codebook/);
  await page.goto(`${page.context().url}#/training/rows`);
  await page.getByRole("heading", { name: /^rows/, level: 1 }).waitFor();
  assert.deepEqual(await greyed(page), ["Latent map", "Knobs", "Codebook", "Make", "Try"]);
  const link = page.locator(".top nav a", { hasText: "Knobs" });
  assert.match(await link.getAttribute("title"), /^Knobs needs a run that was trained on pictures\. rows is none/);
  // Still a way to the reason, whatever the driver holds a grey link to be.
  await link.focus();
  await page.keyboard.press("Enter");
  await page.getByText("Knobs needs a run that was trained on pictures").waitFor();
});

test("what a model cannot do makes its views grey", async (page) => {
  await withRuns(page, (run) => { if (run.id === "two") run.can = ["decode", "prior"]; if (run.id === "ten") run.can = ["encode"]; });
  await open(page, "training", /^two/);
  assert.deepEqual(await greyed(page), ["Latent map", "Codebook", "Try"]);
  assert.match(await page.locator(".top nav a", { hasText: "Try" }).getAttribute("title"), /encodes examples/);
  await page.getByRole("link", { name: "Knobs" }).click();
  await page.locator(".knob").nth(1).waitFor();
  assert.equal(await page.getByRole("button", { name: "From an example" }).count(), 0);
  await page.getByRole("link", { name: "Make" }).click();
  await page.locator(".sheet .frame").nth(20).waitFor();
  assert.deepEqual(await page.locator("label.field", { hasText: /^from/ }).locator("option").allInnerTexts(), ["N(0, I)"]);
  await page.goto(`${page.context().url}#/training/ten`);
  await page.getByRole("heading", { name: /^ten/, level: 1 }).waitFor();
  assert.deepEqual(await greyed(page), ["Latent map", "Knobs", "Codebook", "Make", "Try"]);
});

test("a conditional run is told its class in Knobs, Make, Try and on the map", async (page) => {
  const select = () => page.locator("label.class select");
  const shoot = async (name) => { await page.waitForTimeout(600); await page.screenshot({ path: join(output, `class-${name}.png`), fullPage: true }); };
  await page.goto(`${page.context().url}#/knobs/cond`);
  const big = ".knobs .side canvas.picture";
  await page.locator(".knob").first().waitFor();
  await page.locator('section[aria-label="As each class"] .frame').nth(9).waitFor();
  await page.waitForTimeout(300);
  let before = await pixels(page, big);
  await select().selectOption({ label: "7" });
  await changes(page, big, before, "another class in Knobs");
  before = await pixels(page, big);
  await page.getByRole("button", { name: "As class 3" }).click();
  await changes(page, big, before, "a class that is clicked");
  assert.equal(await select().inputValue(), "3");
  await page.getByRole("button", { name: "From an example" }).click();
  await shoot("knobs");
  await page.goto(`${page.context().url}#/make/cond`);
  const first = ".sheet .frame canvas";
  await page.locator(first).nth(20).waitFor();
  const all = () => page.locator(first).evaluateAll((frames) => frames.map((one) => one.toDataURL()).join());
  await page.locator(".sheet .frame").nth(4).click();
  await page.locator(".sheet .frame").nth(5).click();
  await page.getByText("as class 4").waitFor();
  await shoot("make");
  before = await all();
  await select().selectOption({ label: "5" });
  await page.waitForFunction(([selector, before]) => [...document.querySelectorAll(selector)].map((one) => one.toDataURL()).join() !== before, [first, before]);
  await page.goto(`${page.context().url}#/map/cond`);
  await page.locator(CURSOR).waitFor();
  await page.waitForTimeout(800);
  before = await pixels(page, CURSOR);
  const layer = await pixels(page, "canvas.layer");
  await select().selectOption({ label: "8" });
  await changes(page, CURSOR, before, "another class at the cursor");
  await changes(page, "canvas.layer", layer, "another class of the manifold");
  await shoot("map");
  await page.goto(`${page.context().url}#/try/cond`);
  const box = await page.locator(".board canvas").boundingBox();
  await page.mouse.move(box.x + 140, box.y + 60);
  await page.mouse.down();
  for (let y = 60; y < 220; y += 10) await page.mouse.move(box.x + 140, box.y + y);
  await page.mouse.up();
  await page.locator(".triple canvas").nth(1).waitFor();
  const again = () => page.locator(".triple canvas").nth(1).evaluate((canvas) => canvas.toDataURL());
  await page.waitForTimeout(300);
  before = await again();
  await select().selectOption({ label: "1" });
  await page.waitForFunction((before) => document.querySelectorAll(".triple canvas")[1].toDataURL() !== before, before, { timeout: 5000 });
  await shoot("try");
  // A run that is told nothing has no selector.
  await page.goto(`${page.context().url}#/make/two`);
  await page.locator(first).nth(20).waitFor();
  assert.equal(await select().count(), 0);
});

test("dragging on the map decodes", async (page) => {
  await open(page, "map", "Latent map");
  const stage = page.locator("canvas.front");
  await stage.waitFor();
  await page.locator(CURSOR).waitFor();
  await page.waitForTimeout(500);
  const box = await stage.boundingBox();
  const times = [];
  await page.mouse.move(box.x + box.width * 0.3, box.y + box.height * 0.3);
  await page.mouse.down();
  for (let step = 1; step <= 5; step++) {
    const before = await pixels(page, CURSOR);
    const began = Date.now();
    await page.mouse.move(box.x + box.width * (0.3 + 0.08 * step), box.y + box.height * (0.3 + 0.07 * step));
    await changes(page, CURSOR, before, "dragging");
    times.push(Date.now() - began);
  }
  await page.mouse.up();
  const shown = await page.locator(".latency").innerText();
  console.log(`    request and answer ${shown}; hand to picture ${times.join(", ")} ms with the browser's own steps`);
  assert.ok(Number.parseInt(shown) < 50, shown);
});

test("pointing at a dot shows the example and its reconstruction", async (page) => {
  await open(page, "map", "Latent map");
  const box = await page.locator("canvas.front").boundingBox();
  await page.waitForTimeout(600);
  for (let i = 0; i < 400 && (await page.locator(".pair canvas").count()) === 0; i++) {
    await page.mouse.move(box.x + box.width * (0.3 + 0.02 * (i % 20)), box.y + box.height * (0.3 + 0.02 * Math.floor(i / 20)));
    await page.waitForTimeout(15);
  }
  assert.equal(await page.locator(".pair canvas").count(), 2);
});

test("a mixture's ellipses lie on the map", async (page) => {
  await page.goto(`${page.context().url}#/map/ten`);
  await page.locator("canvas.front").waitFor();
  await page.waitForTimeout(800);
  const before = await pixels(page, "canvas.layer");
  await page.getByLabel("Mixture").check();
  await page.locator(".mixture").waitFor({ timeout: LONG });
  await changes(page, "canvas.layer", before, "the mixture");
  await page.getByRole("button", { name: "Two dimensions" }).click();
  await page.getByLabel("across").selectOption("3");
  await page.getByText("Ellipses at 1σ and 2σ").waitFor();
});

test("t-SNE is laid out in the background", async (page) => {
  await page.goto(`${page.context().url}#/map/ten`);
  await page.locator("canvas.front").waitFor();
  await page.getByRole("button", { name: "t-SNE" }).click();
  await page.getByText("nothing leads back from this map").waitFor({ timeout: LONG });
  assert.equal(await page.getByLabel("Manifold").count(), 0);
  const box = await page.locator("canvas.front").boundingBox();
  await page.waitForTimeout(300);
  const before = await pixels(page, CURSOR);
  await page.mouse.click(box.x + box.width * 0.25, box.y + box.height * 0.3);
  await changes(page, CURSOR, before, "clicking");
  await page.getByRole("button", { name: "PCA" }).click();
  await page.getByLabel("Manifold").waitFor();
});

test("the map follows the keyboard", async (page) => {
  await open(page, "map", "Latent map");
  await page.locator(CURSOR).waitFor();
  await page.locator("canvas.front").focus();
  await page.waitForTimeout(400);
  const before = await pixels(page, CURSOR);
  for (let i = 0; i < 6; i++) await page.keyboard.press("Shift+ArrowRight");
  await changes(page, CURSOR, before, "an arrow key");
  await page.keyboard.press("+");
  await page.keyboard.press("0");
});

test("knobs change the picture, locks hold", async (page) => {
  await page.goto(`${page.context().url}#/knobs/ten`);
  const big = ".knobs .side canvas.picture";
  const slider = page.locator(".knob input[type=range]").first();
  await slider.waitFor();
  await page.waitForTimeout(300);
  const before = await pixels(page, big);
  await slider.fill("2.5");
  await changes(page, big, before, "a knob");
  await page.locator(".knob button").first().click();
  await page.getByRole("button", { name: "Reset" }).click();
  assert.equal(await slider.inputValue(), "2.5");
  const held = await pixels(page, big);
  await page.getByRole("button", { name: "Randomise" }).click();
  await changes(page, big, held, "randomising");
  assert.equal(await page.locator(".strip .frame").count(), 9);
});

test("samples, walks and sums are made", async (page) => {
  await open(page, "make", "Make");
  const frames = page.locator(".sheet .frame");
  await frames.nth(20).waitFor();
  for (const place of [0, 1, 2]) await frames.nth(place).click();
  const walk = 'section[aria-label="From A to B"] canvas.picture';
  await page.locator('section[aria-label="A minus B plus C"] canvas').waitFor();
  await page.waitForTimeout(400);
  const before = await pixels(page, walk);
  await page.getByLabel("Place between A and B").fill("0.05");
  await changes(page, walk, before, "the scrubber");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download GIF" }).click()]);
  assert.equal(readFileSync(await download.path()).subarray(0, 6).toString(), "GIF89a");
});

test("samples come from fitted samplers", async (page) => {
  await page.goto(`${page.context().url}#/make/ten`);
  const first = ".sheet .frame canvas";
  await page.locator(first).nth(20).waitFor();
  for (const name of ["mixture", "gaussian"]) {
    const before = await pixels(page, first);
    await page.locator("label.field", { hasText: /^from/ }).locator("select").selectOption(name);
    await page.waitForFunction(([selector, before]) => document.querySelector(selector).toDataURL() !== before, [first, before], { timeout: LONG });
  }
  const whole = await pixels(page, first);
  await page.getByLabel("truncated at").selectOption("1");
  await changes(page, first, whole, "truncation").catch(async () => {
    // The first draw may lie within anyway: then another differs.
    assert.notEqual(await page.locator(".sheet canvas").evaluateAll((all) => all.map((one) => one.toDataURL()).join()), whole);
  });
  const warm = await pixels(page, first);
  await page.getByLabel("temperature").fill("0.2");
  await changes(page, first, warm, "the temperature");
});

test("a drawing is judged", async (page) => {
  await open(page, "try", "Try");
  const board = page.locator(".board canvas");
  const box = await board.boundingBox();
  await page.mouse.move(box.x + 140, box.y + 60);
  await page.mouse.down();
  for (let y = 60; y < 220; y += 10) await page.mouse.move(box.x + 140 + (y % 20), box.y + y);
  await page.mouse.up();
  await page.getByText("as the model sees it").waitFor();
  await page.locator(".histogram").waitFor();
  assert.equal(await page.locator(".try .frames img").count(), 8);
  const before = await pixels(page, ".triple canvas");
  await page.mouse.move(box.x + 80, box.y + 60);
  await page.mouse.down();
  for (let x = 80; x < 220; x += 10) await page.mouse.move(box.x + x, box.y + 60);
  await page.mouse.up();
  await changes(page, ".triple canvas", before, "drawing");
});

test("runs are compared", async (page) => {
  await open(page, "compare", "Compare");
  await page.locator(".matrix-row").nth(2).waitFor();
  assert.ok((await page.locator("table tbody tr").count()) >= 2);
});

test("one cursor moves in all runs whose codes are as long", async (page) => {
  await open(page, "compare", "Compare");
  await page.locator(".shared canvas").nth(1).waitFor();
  assert.equal(await page.locator(".shared canvas").count(), 2, "two and other have two dimensions, plain has ten");
  await page.waitForTimeout(400);
  const drawn = () => page.locator(".shared canvas").evaluateAll((all) => all.map((one) => one.toDataURL()));
  const before = await drawn();
  // The whole of it, below the bar at the top: the mouse finds only what is in sight.
  await page.locator(".pad").evaluate((pad) => pad.scrollIntoView({ block: "center" }));
  const box = await page.locator(".pad").boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + box.height * 0.5);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + box.height * 0.2, { steps: 4 });
  await page.mouse.up();
  const moved = (before) => page.waitForFunction((before) => [...document.querySelectorAll(".shared canvas")].every((one, i) => one.toDataURL() !== before[i]), before, { timeout: 5000 });
  await moved(before);
  await page.getByText("z0 = 1.89, z1 = 1.89").waitFor();
  const dragged = await drawn();
  await page.locator(".pad").focus();
  for (let i = 0; i < 4; i++) await page.keyboard.press("Shift+ArrowLeft");
  await moved(dragged);
});

test("everything is reached by keyboard alone", async (page) => {
  await open(page, "runs", "Runs");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  const reached = new Set();
  for (let i = 0; i < 14; i++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.tagName));
  }
  for (const view of ["Training", "Latent map", "Knobs", "Make", "Try", "Compare"]) assert.ok(reached.has(view), `${view} is not reached by Tab: ${[...reached]}`);
  await page.getByRole("link", { name: "Knobs" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Knobs", level: 1 }).waitFor();
});

test("a run in training appears and grows by itself, and stops cleanly", async (page, service) => {
  await open(page, "runs", "Runs");
  const training = spawn(elbo, ["train", "--quiet", "--out", join(folder, "runs", "live"), ...small, "--epochs", "400"], { cwd: folder, env: environment });
  children.push(training);
  const ended = new Promise((resolve) => training.on("exit", resolve));
  const card = page.locator("article.run", { hasText: "live" });
  await card.getByText("training", { exact: true }).waitFor({ timeout: 15000 });
  await page.goto(`${service.url}#/training/live`);
  const epoch = () => page.locator(".tile", { hasText: "epoch" }).locator("b").innerText().then(Number);
  await page.getByRole("button", { name: "Stop" }).waitFor();
  const before = await epoch();
  await page.waitForFunction((before) => Number(document.querySelector(".tiles .tile:nth-of-type(3) b")?.textContent) > before, before, { timeout: 10000 });
  page.once("dialog", (dialog) => dialog.accept());
  await page.getByRole("button", { name: "Stop" }).click();
  assert.equal(await ended, 143);
  await page.getByText("interrupted", { exact: true }).waitFor({ timeout: 5000 });
});

test("a codebook is looked through, and a code leads to the pictures that use it", async (page) => {
  await page.goto(`${page.context().url}#/codebook/codes`);
  await page.locator(".sheet.patches .frame").first().waitFor({ timeout: LONG });
  assert.deepEqual(await greyed(page), ["Latent map", "Knobs"]);
  const frames = page.locator(".sheet.patches .frame");
  assert.match(await page.locator(".tile").first().innerText(), /^codes used\n\d+ of 16$/);
  const title = page.locator('section[aria-label="The code"] h2');
  const first = await title.innerText();
  await frames.nth(1).click();
  await page.waitForFunction((first) => document.querySelector('section[aria-label="The code"] h2').textContent !== first, first);
  const users = page.locator(".sheet.users figure");
  await users.first().waitFor();
  assert.ok((await users.first().locator("rect.mine").count()) > 0, "its places are marked");
  await page.waitForFunction(() => document.querySelector(".sheet.users img")?.naturalWidth > 0);
  await page.getByRole("button", { name: "bottom", exact: true }).click();
  await page.waitForFunction(() => document.querySelectorAll('section[aria-label="Where it comes"] rect').length === 196);
});

test("a code that is exchanged changes the picture at once, by mouse and by keyboard", async (page) => {
  await page.goto(`${page.context().url}#/codebook/codes`);
  await page.locator(".sheet.patches .frame").first().waitFor({ timeout: LONG });
  await page.getByRole("button", { name: "Swap" }).click();
  const picture = ".edited canvas.picture";
  await page.locator(picture).waitFor();
  await page.getByRole("button", { name: "bottom", exact: true }).click();
  await page.locator(".edited rect").nth(195).waitFor();
  // The code that is used least stands hardly anywhere already.
  await page.locator(".sheet.patches .frame").last().click();
  const before = await pixels(page, picture);
  const grid = page.locator(".edited svg");
  const box = await grid.boundingBox();
  const exchanged = async () => Number((await page.locator(".edited figcaption").innerText()).match(/^(\d+) codes? exchanged$/)?.[1] ?? 0);
  await page.mouse.move(box.x + 4, box.y + box.height * 0.5);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 4, box.y + box.height * 0.5, { steps: 28 });
  await page.mouse.up();
  await changes(page, picture, before, "exchanging codes");
  const row = await exchanged();
  assert.ok(row >= 10, `${row} of a row of 14`);
  await grid.focus();
  for (const key of ["ArrowDown", "ArrowDown", "ArrowRight", "Enter"]) await page.keyboard.press(key);
  await page.getByText(`${row + 1} codes exchanged`).waitFor();
  await page.getByRole("button", { name: "Look which it is" }).click();
  await page.mouse.click(box.x + box.width * 0.1, box.y + box.height * 0.9);
  assert.equal(await exchanged(), row + 1);
  await page.getByRole("button", { name: "Undo all" }).click();
  await page.getByText("press a place to exchange its code").waitFor();
});

test("part of a picture is kept and the rest drawn, and a film shows how", async (page) => {
  await page.goto(`${page.context().url}#/codebook/codes`);
  await page.getByRole("button", { name: "Complete" }).click();
  const drawn = ".sheet.completions canvas";
  await page.locator(drawn).nth(15).waitFor({ timeout: LONG });
  await page.getByText("98 of 196 places kept").waitFor();
  let before = await pixels(page, drawn);
  const box = await page.locator(".board-like svg").boundingBox();
  await page.mouse.move(box.x + 5, box.y + box.height * 0.75);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 5, box.y + box.height * 0.75, { steps: 14 });
  await page.mouse.up();
  await page.getByText("112 of 196 places kept").waitFor();
  await changes(page, drawn, before, "keeping more");
  before = await pixels(page, drawn);
  await page.locator("label.class select").selectOption("3");
  await changes(page, drawn, before, "another class");
  await page.getByLabel("guidance").waitFor();
  await page.getByRole("button", { name: "Film" }).click();
  await page.getByText("245 of 245 codes").waitFor({ timeout: LONG });
  const film = ".reel canvas.picture";
  before = await pixels(page, film);
  await page.getByLabel("Codes drawn", { exact: true }).fill("0");
  await page.getByText("0 of 245 codes", { exact: true }).waitFor();
  await changes(page, film, before, "the beginning of the film");
});

test("Make, Try and Compare work for codes that are symbols", async (page) => {
  await page.goto(`${page.context().url}#/make/codes`);
  await page.locator(".sheet .frame").nth(47).waitFor({ timeout: LONG });
  await page.locator(".reel canvas.picture").first().waitFor({ timeout: LONG });
  await page.getByText("245 of 245 codes").waitFor({ timeout: LONG });
  await page.goto(`${page.context().url}#/try/codes`);
  const board = page.locator(".board canvas");
  await board.focus();
  for (let i = 0; i < 6; i++) await page.keyboard.press("ArrowDown");
  await page.locator(".verdict b").waitFor({ timeout: LONG });
  assert.match(await page.locator(".verdict").innerText(), /nats rate of its codes under the prior/);
  await page.locator(".triple rect.hot").first().waitFor();
  await page.getByText("by the number of places with another code").waitFor();
  await page.goto(`${page.context().url}#/compare/codes`);
  await page.locator('section[aria-label="Samples"] figure', { hasText: "codes" }).locator("canvas").nth(24).waitFor({ timeout: LONG });
  await page.goto(`${page.context().url}#/map/codes`);
  await page.getByText("Its codes are symbols, entries of a codebook").waitFor();
});

const SIZES = [["wide", 1440, 900], ["middle", 768, 1024], ["phone", 360, 780]];
const VIEWS = ["runs", "training", "map", "knobs", "codebook", "make", "try", "compare"];
/** All views of one run; those with a class; one that a table cannot fill; those of symbols. */
const LOOKED_AT = [...VIEWS.map((view) => [view, "two"]), ...["map", "knobs", "make", "try"].map((view) => [view, "cond"]), ["knobs", "rows"], ...["codebook", "make", "try", "map"].map((view) => [view, "codes"])];

for (const scheme of ["light", "dark"]) {
  test(`axe finds nothing, ${scheme}`, async (page) => {
    await page.emulateMedia({ colorScheme: scheme });
    const found = [];
    for (const [view, run] of LOOKED_AT) {
      await page.goto(`${page.context().url}#/${view}/${run}`);
      await page.waitForTimeout(500);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
      for (const violation of violations) found.push(`${view} of ${run}: ${violation.id}: ${violation.nodes.map((node) => node.target.join(" ")).slice(0, 3).join(" | ")}`);
    }
    assert.deepEqual(found, []);
  });
}

if (process.env.PICTURE) {
  test("the README's picture", async (page) => {
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(`${page.context().url}#/map/${process.env.PICTURE_RUN ?? "two"}`);
    await page.locator("canvas.front").waitFor();
    await page.locator(CURSOR).waitFor();
    await page.waitForTimeout(2500);
    const box = await page.locator("canvas.front").boundingBox();
    await page.mouse.click(box.x + box.width * 0.62, box.y + box.height * 0.3);
    await page.waitForTimeout(500);
    writeFileSync(resolve(process.env.PICTURE), await page.screenshot());
  });
}

/** What reaches farthest to the right, for the message. */
const widest = () => {
  const right = (element) => element.getBoundingClientRect().right;
  const last = [...document.body.querySelectorAll("*")].reduce((a, b) => (right(b) >= right(a) ? b : a));
  return `${last.tagName} ${last.className} in ${last.parentElement.className}: ${last.textContent.slice(0, 60)}`;
};

test("nothing is wider than the window, at three sizes", async (page) => {
  for (const [name, width, height] of SIZES) {
    await page.setViewportSize({ width, height });
    for (const [view, run] of LOOKED_AT) {
      await page.goto(`${page.context().url}#/${view}/${run}`);
      await page.waitForTimeout(500);
      const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= window, `${view} of ${run} at ${name}: ${wide} of ${window} pixels, ${await page.evaluate(widest)}`);
      await page.screenshot({ path: join(output, `${view}${run === "two" ? "" : `-${run}`}-${name}.png`) });
    }
  }
});

async function main() {
  const own = process.env.ELBO_RUNS && resolve(process.env.ELBO_RUNS);
  if (!own) {
    // First, so that they are the oldest: others are shown beside each other before them.
    train("cond", [...small, "--set", "model.kind=cvae", "--set", "model.latent=2", "--set", "training.batch_size=32", "--epochs", "6"]);
    train("rows", ["--set", `data.source=${table()}`, "--set", "model.likelihood=gaussian-shared", "--set", "model.latent=2", "--set", "network.hidden=[16]", "--epochs", "1"]);
    const tiny = ["network={kind=\"conv\",channels=[4,4]}", "quantizer={codes=16,dims=4}", "model={kind=\"vq-vae-2\"}"];
    train("codes", [...sets(["data.count=400", "optimizer.lr=1e-2", ...tiny]), "--epochs", "8"]);
    // Without the warm-up, which is longer than this training: the classes must change what is drawn.
    const brief = ["optimizer.warmup_steps=0", "optimizer.lr=1e-2", "schedule.kind=\"constant\"", "training.batch_size=16"];
    prior("codes", [...sets(["prior.width=16", "prior.layers=1", "prior.heads=2", ...brief]), "--epochs", "10"]);
    train("two", [...small, "--set", "model.latent=2", "--epochs", "2"]);
    train("ten", [...small, "--epochs", "4"]);
    train("plain", [...small, "--set", "model.kind=ae", "--epochs", "2"]);
    tear("torn");
    train("other", [...small, "--set", "model.latent=2", "--seed", "1", "--epochs", "2"]);
  }
  const service = await serve(own ?? join(folder, "runs"));
  const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
  const only = process.argv.slice(2);
  let failed = 0;
  for (const [name, work] of tests.filter(([name]) => only.length === 0 || only.some((word) => name.includes(word)))) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
    context.url = service.url;
    if (process.env.UI) await context.route("**/ui/**", (route) => route.fulfill({ path: join(process.env.UI, new URL(route.request().url()).pathname.replace("/ui/", "")) }));
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    const began = Date.now();
    try {
      await work(page, service);
      assert.deepEqual(complaints, [], "the console is silent");
      console.log(`ok      ${name} (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      await page.screenshot({ path: join(output, `failed-${failed}.png`) }).catch(() => {});
      console.log(`FAILED  ${name}\n${error.message}\n${complaints.join("\n")}`);
    }
    await context.close();
  }
  await browser.close();
  console.log(failed === 0 ? "all passed" : `${failed} failed`);
  return failed;
}

let code = 1;
try {
  code = Math.min(1, await main());
} finally {
  children.forEach((child) => child.kill());
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);
