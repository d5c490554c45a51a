// Runs the scenarios, compiled to WebAssembly, in headless Chromium: node tests/wasm/run.mjs [WORD...]
//
// A page loads the module once for each endpoint and runs its scenarios, twenty at a time. With PULSEWIRE_SECOND_TRY the
// few that fail run once more when all others are done, and are told apart. The last line is `N passed, N failed`.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const top = join(dirname(fileURLToPath(import.meta.url)), "../..");
const module = join(top, "target/wasm/scenarios");
const words = process.argv.slice(2);
/** Of so many failures at most each is tried a second time. */
const SECOND_TRIES = 60;
const world = JSON.parse(readFileSync(process.env.PULSEWIRE_WORLD ?? join(top, "target/world.json"), "utf8"));
const endpoints = world.endpoints.filter((endpoint) => endpoint.transport === "ws");

const types = { ".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html" };
const server = createServer((request, response) => {
  const path = normalize(new URL(request.url, "http://localhost").pathname);
  if (path === "/") {
    response.writeHead(200, { "content-type": types[".html"] }).end("<!doctype html><title>scenarios</title>");
    return;
  }
  try {
    const body = readFileSync(join(module, path));
    response.writeHead(200, { "content-type": types[path.slice(path.lastIndexOf("."))] ?? "text/plain" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(world.page_port, "localhost", resolve));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const { PULSEWIRE_JAVA: java, PULSEWIRE_PYTHON: python } = process.env;
const witnesses = Boolean(java && python);
/** The processes of official clients, by language and broker. */
const asked = new Map();
const results = [];
async function open() {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.log(`FAILED in a page: ${error}`));
  await page.exposeFunction("administer", administer);
  await page.exposeFunction("askWitness", askWitness);
  await page.goto(`http://localhost:${world.page_port}/`);
  return page;
}
try {
  const run = Date.now().toString(36);
  const pages = await Promise.all(endpoints.map(open));
  const scenarios = (index, only, mark) =>
    pages[index].evaluate(inPage, {
      endpoint: JSON.stringify(endpoints[index]),
      words,
      only,
      witnesses,
      prefix: `w${run}${mark}-${index}`,
    });
  const perEndpoint = await Promise.all(pages.map((_, index) => scenarios(index, null, "")));
  const failed = perEndpoint.map((outcomes) => outcomes.filter(({ detail }) => detail !== ""));
  // More than fail when a broker stands still for a while.
  if (process.env.PULSEWIRE_SECOND_TRY && failed.flat().length <= SECOND_TRIES) {
    for (const [index, first] of failed.entries()) {
      const names = first.map(({ name }) => name);
      for (const outcome of names.length > 0 ? await scenarios(index, names, "-again") : []) {
        const at = perEndpoint[index].findIndex(({ name }) => name === outcome.name);
        const { witness, detail } = perEndpoint[index][at];
        console.log(`AT SECOND TRY ${outcome.name} in Chromium to ${witness}; at the first: ${detail}`);
        perEndpoint[index][at] = outcome;
      }
    }
  }
  // The browser's transport by itself. No row of the ledger is about it.
  const cases = words.length > 0 ? [] : await (await open()).evaluate(conformance, world.conformance);
  for (const { name, detail } of cases) {
    const status = detail === "" ? "passed" : "failed";
    if (status === "failed") {
      console.log(`FAILED ${name} of the transport in Chromium: ${detail}`);
    }
    results.push({ name: `conformance_${name}`, row: "", world: "rust-wasm", status, detail });
  }
  perEndpoint.forEach((outcomes, index) => {
    const { transport } = endpoints[index];
    for (const { name, witness, seconds, detail } of outcomes) {
      const status = detail === "" ? "passed" : "failed";
      if (status === "failed") {
        console.log(`FAILED ${name} in Chromium to ${witness}: ${detail}`);
      }
      const row = name.split("_")[0].toUpperCase();
      results.push({ name, row, world: "rust-wasm", transport, witness, status, seconds, detail });
    }
  });
} finally {
  await browser.close();
  server.close();
  for (const { process: witness } of asked.values()) witness.stdin.end();
}

const file = join(top, "target/results/rust-wasm.jsonl");
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, results.map((result) => `${JSON.stringify(result)}\n`).join(""));
const passed = results.filter((result) => result.status === "passed").length;
console.log(`${passed} passed, ${results.length - passed} failed`);
process.exitCode = passed > 0 && passed === results.length ? 0 : 1;

/** A request to a broker's admin API, for scenarios in a page: the status, a space, and the body. */
async function administer(method, url, body) {
  const response = await fetch(url, { method, body, headers: { "content-type": "application/json" } });
  return `${response.status} ${await response.text()}`;
}

/** A request to an official client of a broker, as JSON; see tests/scenarios/interop/witness.rs. */
function askWitness(language, broker, request) {
  const key = `${language} ${broker}`;
  if (!asked.has(key)) {
    const [program, args] = language === "Java" ? ["java", ["-cp", java, "Witness"]] : [python, ["tests/witness/server.py"]];
    const started = spawn(program, [...args, broker], { cwd: top, stdio: ["pipe", "pipe", "ignore"] });
    const waiting = new Map();
    createInterface({ input: started.stdout }).on("line", (line) => {
      const id = JSON.parse(line).id;
      waiting.get(id)?.(line);
      waiting.delete(id);
    });
    const end = () => {
      for (const [id, answer] of waiting) answer(JSON.stringify({ id, error: "the witness has ended" }));
      waiting.clear();
    };
    started.on("error", end).on("exit", end);
    asked.set(key, { process: started, waiting, next: 0 });
  }
  const witness = asked.get(key);
  const id = witness.next++;
  return new Promise((resolve) => {
    witness.waiting.set(id, resolve);
    witness.process.stdin.write(`${JSON.stringify({ ...JSON.parse(request), id })}\n`);
  });
}

/** Runs in the page. */
async function inPage({ endpoint, words, only, witnesses, prefix }) {
  const { default: init, scenarios, run } = await import("/scenarios.js");
  await init({ module_or_path: "/scenarios_bg.wasm" });
  const names = JSON.parse(scenarios(endpoint, witnesses)).filter(
    ([name]) => only?.includes(name) ?? (words.length === 0 || words.some((word) => name.includes(word))),
  );
  // A Pulsar that is killed takes its time to come back.
  const limit = JSON.parse(endpoint).kind === "restarted" ? 180 : 60;
  const one = async ([name, witness]) => {
    const start = performance.now();
    let detail = "";
    const late = new Promise((_, reject) => setTimeout(() => reject(`it was not done in ${limit} s`), limit * 1000));
    try {
      await Promise.race([run(name, endpoint, `${name}-${prefix}`), late]);
    } catch (error) {
      detail = String(error) || "it failed without a word";
    }
    return { name, witness, seconds: (performance.now() - start) / 1000, detail };
  };
  // All share one thread: so many at a time that none waits for its turn longer than for its messages.
  const outcomes = [];
  const worker = async () => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      outcomes.push(await one(name));
    }
  };
  await Promise.all(Array.from({ length: 20 }, worker));
  return outcomes;
}

/** Runs in a page: the cases that every transport passes. */
async function conformance({ url, refused }) {
  const { default: init, conformance_cases, conform } = await import("/scenarios.js");
  await init({ module_or_path: "/scenarios_bg.wasm" });
  return Promise.all(
    JSON.parse(conformance_cases(url, refused)).map(async (name) => {
      try {
        await conform(name, url, refused);
        return { name, detail: "" };
      } catch (error) {
        return { name, detail: String(error) || "it failed without a word" };
      }
    }),
  );
}
