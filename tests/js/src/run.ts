// Runs the suite in Node and in Chromium, and writes its results.
//
//   node out/run.js [--unit] [--runtime node|chromium] [--only part,part] [--results directory]
//
// Endpoints come from PULSEWIRE_ENDPOINTS, JSON:
//   [{"name": "embedded", "witness": "pulsewire broker", "url": "ws://127.0.0.1:8080", "refusedUrl": "ws://127.0.0.1:8081"}]
// The gateway must allow the page's origin: PULSEWIRE_PAGE_PORT fixes its port (http://127.0.0.1:<port>).
// Without endpoints only the unit tests run. CHROMIUM names the browser.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { launch } from "./chromium.js";
import type { Endpoint, Result, RunOptions } from "./harness.js";
import { serve } from "./server.js";

const root = resolve(fileURLToPath(new URL("../../..", import.meta.url)));
const { values } = parseArgs({
  options: {
    unit: { type: "boolean", default: false },
    runtime: { type: "string" },
    only: { type: "string" },
    results: { type: "string", default: join(root, "target/results") },
  },
});
const endpoints: Endpoint[] = values.unit ? [] : JSON.parse(process.env.PULSEWIRE_ENDPOINTS ?? "[]");
const only = values.only?.split(",");
const runtimes = values.runtime ? [values.runtime] : ["node", "chromium"];

let passed = 0;
let failed = 0;

/** Runs the unit tests and then each endpoint's, and writes a results file for each. */
async function runAll(
  runtime: RunOptions["runtime"],
  run: (options: RunOptions, report: (result: Result) => void) => Promise<void>,
): Promise<void> {
  mkdirSync(values.results, { recursive: true });
  for (const endpoint of [undefined, ...endpoints]) {
    const file = join(values.results, `js-${runtime}-${endpoint?.name ?? "unit"}.jsonl`);
    const lines: string[] = [];
    rmSync(file, { force: true });
    await run({ runtime, endpoint, only }, (result) => {
      lines.push(`${JSON.stringify(result)}\n`);
      if (result.status === "passed") passed += 1;
      else failed += 1;
      const mark = result.status === "passed" ? "ok  " : "FAIL";
      const where = `${runtime}${endpoint ? `, ${endpoint.name}` : ""}`;
      console.log(`${mark} ${result.name} (${where}, ${result.seconds.toFixed(2)} s)`);
      if (result.detail) console.log(`     ${result.detail}`);
    });
    // A run of some tests is not a result for the ledger.
    if (!only) writeFileSync(file, lines.join(""));
  }
}

async function inNode(): Promise<void> {
  if (typeof globalThis.WebSocket !== "function") {
    globalThis.WebSocket = (await import("ws")).WebSocket as unknown as typeof WebSocket;
  }
  await import("./all.js");
  const { run } = await import("./harness.js");
  await runAll("node", run);
}

async function inChromium(): Promise<void> {
  const nonce = "pulsewire";
  const imports = { pulsewire: "/js/dist/index.js", "pulsewire/slim": "/js/dist/slim.js" };
  const site = await serve(root, {
    port: Number(process.env.PULSEWIRE_PAGE_PORT ?? 0),
    allowed: ["js/dist", "js/wasm", "tests/js/out"],
    // All that a page's policy has to allow for the package is 'wasm-unsafe-eval'.
    csp: `default-src 'self'; script-src 'self' 'nonce-${nonce}' 'wasm-unsafe-eval'; connect-src 'self' ws:`,
    pages: {
      "/": `<!doctype html><title>pulsewire suite</title>
<link rel="icon" href="data:,">
<script type="importmap" nonce="${nonce}">${JSON.stringify({ imports })}</script>
<script type="module" src="/tests/js/out/browser.js"></script>`,
    },
  });
  const browser = await launch();
  try {
    const page = await browser.newPage();
    let report: (result: Result) => void = () => {};
    await page.exposeFunction("pulsewireReport", (result: Result) => report(result));
    page.on("pageerror", (error) => {
      failed += 1;
      console.log(`FAIL uncaught error in the page: ${error.stack ?? error.message}`);
    });
    await page.goto(site.origin);
    await page.waitForFunction(() => typeof window.pulsewireSuite === "function");
    await runAll("chromium", async (options, sink) => {
      report = sink;
      await page.evaluate((handed) => window.pulsewireSuite(handed), options);
    });
  } finally {
    await browser.close();
    await site.close();
  }
}

for (const runtime of runtimes) {
  if (runtime === "node") await inNode();
  else if (runtime === "chromium") await inChromium();
  else throw new Error(`--runtime is node or chromium, not ${runtime}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
