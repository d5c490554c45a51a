// Drives the console in Chromium: publishes in the page, sees another client's message appear.
//
//   node out/console/run.js [--results directory]
//
// The clusters come from the environment: see endpoints.ts; the page is that of www/dist. With PULSEWIRE_CONSOLE_URL
// the page is the one that `pulsewire dev` serves, PULSEWIRE_WITNESS and PULSAR_BROKER_URL tell what stands behind it.
//
// The message of an official client is published by the Python client, if PULSEWIRE_PYTHON names an interpreter that
// has it; or by the shell command PULSEWIRE_WITNESS_PUBLISH, which is given PULSAR_BROKER_URL, TOPIC (the full name),
// PAYLOAD, KEY and PROPERTY (name=value) in its environment.
//
// PULSEWIRE_BINARY names the binary `pulsewire`, whose gateway the page shows then.
//
// Without any cluster the page is built over the fake core: its own working is tested then, nothing else.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import { launch } from "../chromium.js";
import { world } from "../endpoints.js";
import type { Result } from "../harness.js";
import { type Site, serve } from "../server.js";
import { gatewayTests, n02_console_shows_a_gateway_that_runs, startDev } from "./gateway.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const { values } = parseArgs({
  options: { results: { type: "string", default: join(root, "target/results") } },
});
const python = process.env.PULSEWIRE_PYTHON;
const script = join(root, "tests/js/witness/publish.py");
const command = process.env.PULSEWIRE_WITNESS_PUBLISH ?? (python ? `'${python}' '${script}'` : undefined);

/** A page to drive, and what stands behind it. */
interface Subject {
  name: string;
  witness: string;
  url: string;
  direct: string | undefined;
  site?: Site;
}

async function* subjects(): AsyncGenerator<Subject> {
  const { pagePort, endpoints } = world();
  const direct = process.env.PULSAR_BROKER_URL;
  if (process.env.PULSEWIRE_CONSOLE_URL) {
    const witness = process.env.PULSEWIRE_WITNESS ?? "none";
    yield { name: "dev", witness, url: process.env.PULSEWIRE_CONSOLE_URL, direct };
    return;
  }
  for (const { name, witness, url, direct: own } of endpoints) {
    const pages = { "/config.json": JSON.stringify({ gateway: url }) };
    const site = await serve(join(root, "www/dist"), { port: pagePort, pages });
    yield { name, witness, url: site.origin, direct: own ?? direct, site };
  }
  if (endpoints.length > 0) return;
  const directory = join(tmpdir(), "pulsewire-console-fake");
  process.env.PULSEWIRE_FAKE = "1";
  const { build } = (await import("vite" as string)) as { build(options: object): Promise<unknown> };
  await build({
    root: join(root, "www"),
    logLevel: "warn",
    build: { outDir: directory, emptyOutDir: true },
  });
  const site = await serve(directory, { pages: { "/config.json": "{}" } });
  yield { name: FAKE, witness: "none", url: site.origin, direct: undefined, site };
}

const FAKE = "fake core";

/** A row of the list whose payload contains the text. */
function row(page: Page, text: string) {
  return page.locator(".message:not([hidden])", { hasText: text }).first();
}

async function open(page: Page, url: string, topic: string): Promise<void> {
  await page.goto(url);
  await page.locator("#status[data-state=connected]").waitFor();
  await page.fill("#topic", topic);
  await page.keyboard.press("Enter");
  await page.locator("#publish-fields:enabled").waitFor();
}

const unique = (): string => crypto.randomUUID().slice(0, 8);

const tests: Record<string, (page: Page, subject: Subject) => Promise<void>> = {
  async c04_console_publishes_and_sees_its_own_message(page, { url }) {
    await open(page, url, `console-${unique()}`);
    const text = `from the page ${unique()}`;
    await page.fill("#payload", text);
    await page.fill("#key", "greeting");
    await page.click("#add-property");
    await page.keyboard.type("kind");
    await page.keyboard.press("Tab");
    await page.keyboard.type("demo");
    await page.keyboard.press("Control+Enter");
    const shown = row(page, text);
    await shown.waitFor();
    await expectText(shown.locator(".key"), "greeting");
    await expectText(shown.locator(".props"), "kind=demo");
    await page.locator("#result", { hasText: /^Stored as -?\d+:\d+:-1/ }).waitFor();
    const id = ((await page.textContent("#result")) ?? "").split(" ")[2] ?? "?";
    await expectText(shown.locator(".id"), id);
  },

  async c04_console_shows_a_message_of_an_official_client(page, { name: subject, url, direct }) {
    if (subject === FAKE) {
      await open(page, url, "orders");
      await row(page, '"order"').waitFor();
      return;
    }
    if (!command) throw new Error("neither PULSEWIRE_PYTHON nor PULSEWIRE_WITNESS_PUBLISH is set");
    if (!direct) throw new Error("PULSAR_BROKER_URL is not set");
    const name = `console-${unique()}`;
    await open(page, url, name);
    const payload = `from an official client ${unique()}`;
    await run(command, {
      PULSAR_BROKER_URL: direct,
      TOPIC: `persistent://public/default/${name}`,
      PAYLOAD: payload,
      KEY: "k-1",
      PROPERTY: "source=official",
    });
    const shown = row(page, payload);
    await shown.waitFor();
    await expectText(shown.locator(".key"), "k-1");
    await expectText(shown.locator(".props"), "source=official");
  },

  async p10_console_page_closed_while_sends_are_pending(page, { name: subject, url }) {
    const name = `console-${unique()}`;
    const leaving = await page.context().newPage();
    await open(leaving, url, name);
    await leaving.fill("#copies", "5000");
    await leaving.fill("#payload", "on the way");
    await leaving.keyboard.press("Control+Enter");
    await leaving.close();
    // Nothing of it stands in the way of the next page.
    await open(page, url, name);
    const text = `after it ${unique()}`;
    await page.fill("#payload", text);
    await page.keyboard.press("Control+Enter");
    await row(page, text).waitFor();
    if (subject !== FAKE) await page.locator("#result", { hasText: /^Stored as/ }).waitFor();
  },

  async c04_console_is_used_by_keyboard(page, { url }) {
    await open(page, url, `console-${unique()}`);
    for (const text of ["first", '{"second": [1, 2]}']) {
      await page.fill("#payload", text);
      await page.keyboard.press("Control+Enter");
      await row(page, text).waitFor();
    }
    await page.focus("#feed");
    await page.keyboard.press("ArrowDown");
    await page.locator("#detail pre", { hasText: '"second"' }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.locator("#detail pre", { hasText: "first" }).waitFor();
    await page.locator(".message[aria-selected=true]", { hasText: "first" }).waitFor();
    await page.waitForFunction(() => {
      const active = document.getElementById("feed")?.getAttribute("aria-activedescendant");
      return active && document.getElementById(active)?.getAttribute("aria-selected") === "true";
    });
    await page.keyboard.press("Escape");
    await page.locator("#detail").waitFor({ state: "hidden" });
  },

  async n02_console_says_what_to_do_when_the_gateway_is_away(page, { name: subject, url }) {
    const away = subject === FAKE ? "ws://refused.example:1/" : "ws://127.0.0.1:9/";
    await page.goto(`${url}?gateway=${encodeURIComponent(away)}`);
    await page.click("#connect");
    const notice = page.locator("#notice:not([hidden])");
    await notice.waitFor({ timeout: 20_000 });
    const said = (await notice.textContent()) ?? "";
    for (const part of [away, new URL(url).origin]) {
      if (!said.includes(part)) throw new Error(`the notice does not name ${part}: ${said}`);
    }
    await page.locator("#status[data-state=failed]").waitFor();
  },

  async console_keeps_the_newest_messages_at_a_high_rate(page, { url }) {
    await open(page, url, `console-${unique()}`);
    await page.fill("#payload", "many");
    await page.fill("#copies", "3000");
    await page.keyboard.press("Control+Enter");
    await page.locator("#feed-state", { hasText: "The last 500 of 3,000" }).waitFor({ timeout: 30_000 });
    const rows = await page.locator(".message").count();
    if (rows > 80) throw new Error(`${rows} rows are in the page`);
  },

  async console_themes_go_round(page, { url }) {
    await page.goto(url);
    const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    await page.click("#theme");
    const light = await ground();
    if (dark === light) throw new Error("the theme did not change");
    await page.reload();
    if ((await ground()) !== light) throw new Error("the choice was not kept");
  },
};

async function expectText(locator: ReturnType<typeof row>, text: string): Promise<void> {
  const found = (await locator.textContent()) ?? "";
  if (found.trim() !== text) throw new Error(`shows '${found}', expected '${text}'`);
}

function run(shell: string, env: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(shell, {
      shell: true,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...env },
    });
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`the witness ended with ${code}`))));
  });
}

const browser = await launch();
let passed = 0;
let failed = 0;
let first = true;
for await (const subject of subjects()) {
  const lines: string[] = [];
  for await (const result of all(subject, first)) {
    const { name } = result;
    if (result.status === "passed") passed += 1;
    else failed += 1;
    lines.push(`${JSON.stringify(result)}\n`);
    const mark = result.status === "passed" ? "ok  " : "FAIL";
    console.log(`${mark} ${name} (console, ${subject.name}, ${result.seconds.toFixed(2)} s)`);
    if (result.detail) console.log(`     ${result.detail}`);
  }
  first = false;
  await subject.site?.close();
  if (subject.name === FAKE) continue;
  mkdirSync(values.results, { recursive: true });
  writeFileSync(join(values.results, `js-console-${subject.name}.jsonl`), lines.join(""));
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

/** All tests; those of what no cluster has a part in only once. */
async function* all(subject: Subject, first: boolean): AsyncGenerator<Result> {
  for (const [name, test] of Object.entries(tests)) yield await one(name, test, subject);
  if (!first) return;
  for (const [name, test] of Object.entries(gatewayTests))
    yield await one(name, (page, { url }) => test(page, url), subject);
  const binary = process.env.PULSEWIRE_BINARY;
  if (!binary) return;
  const dev = await startDev(binary, join(root, "www/dist"));
  const name = n02_console_shows_a_gateway_that_runs.name;
  yield await one(name, (page) => n02_console_shows_a_gateway_that_runs(page, dev), {
    ...subject,
    witness: "pulsewire embedded broker",
    url: dev.url,
  });
  dev.stop("SIGKILL");
}

async function one(name: string, test: (typeof tests)[string], subject: Subject): Promise<Result> {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults: string[] = [];
  const { origin } = new URL(subject.url);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    const asked = request.url();
    if (new URL(asked).origin !== origin && !asked.startsWith("data:")) faults.push(`the page asked for ${asked}`);
  });
  const started = performance.now();
  let detail = "";
  try {
    await test(page, subject);
    detail = faults.join("; ");
  } catch (error) {
    detail = error instanceof Error ? error.message : String(error);
    const notice = await page.textContent("#notice-detail").catch(() => "");
    if (notice) detail += ` (the page says: ${notice})`;
  }
  await context.close();
  return {
    name,
    row: (/^[a-z]\d\d/.exec(name)?.[0] ?? "").toUpperCase(),
    world: "js",
    transport: "ws",
    witness: subject.witness,
    status: detail ? "failed" : "passed",
    seconds: Math.round(performance.now() - started) / 1000,
    detail,
    runtime: "chromium",
  };
}
