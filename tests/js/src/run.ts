// Runs the suite in Node and in Chromium, and writes its results.
//
//   node out/run.js [--unit] [--runtime node|chromium] [--only part,part] [--results directory]
//
// The clusters come from the environment: see endpoints.ts. Without any only the unit tests run. CHROMIUM names the
// browser. With PULSEWIRE_SECOND_TRY the few that fail at an endpoint run once more after its others, and are told apart.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import { launch } from "./chromium.js";
import { world } from "./endpoints.js";
import type { Result, RunOptions } from "./harness.js";
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
const { pagePort, endpoints } = values.unit ? { pagePort: 0, endpoints: [] } : world();
const only = values.only?.split(",");
const runtimes = values.runtime ? [values.runtime] : ["node", "chromium"];

const again = process.env.PULSEWIRE_SECOND_TRY !== undefined;
/** Of so many failures at an endpoint at most each is tried a second time. */
const SECOND_TRIES = 60;

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
    const report = (result: Result): void => {
      lines.push(`${JSON.stringify(result)}\n`);
      if (result.status === "passed") passed += 1;
      else failed += 1;
      const mark = result.status === "passed" ? "ok  " : "FAIL";
      const where = `${runtime}${endpoint ? `, ${endpoint.name}` : ""}`;
      console.log(`${mark} ${result.name} (${where}, ${result.seconds.toFixed(2)} s)`);
      if (result.detail) console.log(`     ${result.detail}`);
    };
    const settings = endpoint ? (["cluster", "refused"] as const) : (["unit"] as const);
    for (const setting of settings) {
      const first = new Map<string, Result>();
      await run({ runtime, endpoint, only, setting }, (result) => {
        if (result.status === "failed" && endpoint && again) first.set(result.name, result);
        else report(result);
      });
      if (first.size > SECOND_TRIES) {
        for (const result of first.values()) report(result);
      } else if (first.size > 0) {
        await run({ runtime, endpoint, only: [...first.keys()], setting }, (result) => {
          const before = first.get(result.name);
          if (!before) return;
          console.log(`AT SECOND TRY ${result.name}; at the first: ${before.detail}`);
          report(result);
        });
      }
    }
    // A run of some tests is not a result for the ledger.
    if (!only) writeFileSync(file, lines.join(""));
  }
}

async function inNode(): Promise<void> {
  const ws = await import("ws");
  if (typeof globalThis.WebSocket !== "function") {
    globalThis.WebSocket = ws.WebSocket as unknown as typeof WebSocket;
  }
  class FromElsewhere extends ws.WebSocket {
    constructor(url: string) {
      super(url, { origin: "http://refused.example" });
    }
  }
  await import("./all.js");
  const { run } = await import("./harness.js");
  await runAll("node", async (options, report) => {
    const usual = globalThis.WebSocket;
    if (options.setting === "refused") globalThis.WebSocket = FromElsewhere as unknown as typeof WebSocket;
    await run(options, report);
    globalThis.WebSocket = usual;
  });
}

async function inChromium(): Promise<void> {
  const nonce = "pulsewire";
  const imports = {
    pulsewire: "/js/dist/index.js",
    "pulsewire/slim": "/js/dist/slim.js",
    "pulsewire/testing": "/js/dist/testing/index.js",
  };
  const options = {
    allowed: ["js/dist", "js/wasm", "tests/js/out"],
    // All that a page's policy has to allow for the package is 'wasm-unsafe-eval'.
    csp: `default-src 'self'; script-src 'self' 'nonce-${nonce}' 'wasm-unsafe-eval'; connect-src 'self' ws:`,
    pages: {
      "/": `<!doctype html><title>pulsewire suite</title>
<link rel="icon" href="data:,">
<script type="importmap" nonce="${nonce}">${JSON.stringify({ imports })}</script>
<script type="module" src="/tests/js/out/browser.js"></script>`,
    },
  };
  const site = await serve(root, { ...options, port: pagePort });
  const elsewhere = await serve(root, options);
  const browser = await launch();
  try {
    let report: (result: Result) => void = () => {};
    const open = async (origin: string): Promise<Page> => {
      const page = await browser.newPage();
      await page.exposeFunction("pulsewireReport", (result: Result) => report(result));
      page.on("pageerror", (error) => {
        failed += 1;
        console.log(`FAIL uncaught error in the page: ${error.stack ?? error.message}`);
      });
      await page.goto(origin);
      await page.waitForFunction(() => typeof window.pulsewireSuite === "function");
      return page;
    };
    const usual = await open(site.origin);
    const refused = await open(elsewhere.origin);
    await runAll("chromium", async (options, sink) => {
      report = sink;
      const page = options.setting === "refused" ? refused : usual;
      await page.evaluate((handed) => window.pulsewireSuite(handed), options);
    });
  } finally {
    await browser.close();
    await site.close();
    await elsewhere.close();
  }
}

for (const runtime of runtimes) {
  if (runtime === "node") await inNode();
  else if (runtime === "chromium") await inChromium();
  else throw new Error(`--runtime is node or chromium, not ${runtime}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
