// What `pulsewire/testing` is for: unit tests of an application, those of examples/unit-test, in Node under its own test
// runner and the same files in Chromium. And what cannot run beside other tests: memory, fake timers.
//
//   node out/testing/run.js

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "../chromium.js";
import { serve } from "../server.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const examples = join(root, "examples/unit-test");
const files = readdirSync(examples).filter((file) => file.endsWith(".test.js"));

let passed = 0;
let failed = 0;

function report(ok: boolean, what: string, detail = ""): void {
  if (ok) passed += 1;
  else failed += 1;
  console.log(`${ok ? "ok  " : "FAIL"} ${what}`);
  if (detail && !ok) console.log(detail);
}

/** Runs a program of Node's to its end. */
function node(...args: string[]): { ok: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { ok: status === 0, output: `${stdout}${stderr}` };
}

function inNode(): void {
  const { ok, output } = node("--test", "--test-reporter=tap", examples);
  const names = [...output.matchAll(/^(not )?ok \d+ - (.*)$/gm)];
  for (const [, not, name] of names) report(!not, `${name} (node)`, output);
  if (!ok || names.length < files.length) report(false, "examples/unit-test (node)", output);
}

async function inChromium(): Promise<void> {
  const imports = {
    pulsewire: "/js/dist/index.js",
    "pulsewire/testing": "/js/dist/testing/index.js",
    "node:test": "/tests/js/out/testing/page-test.js",
    "node:assert/strict": "/tests/js/out/testing/page-assert.js",
  };
  const site = await serve(root, {
    allowed: ["js/dist", "js/wasm", "tests/js/out", "examples/unit-test"],
    pages: {
      "/": `<!doctype html><title>examples</title><link rel="icon" href="data:,">
<script type="importmap">${JSON.stringify({ imports })}</script>`,
    },
  });
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(site.origin);
    const outcome = await page.evaluate(async (files) => {
      for (const file of files) await import(`/examples/unit-test/${file}`);
      const runner = "/tests/js/out/testing/page-test.js";
      const { runAll }: typeof import("./page-test.js") = await import(runner);
      return runAll();
    }, files);
    for (const name of outcome.passed) report(true, `${name} (chromium)`);
    for (const name of outcome.failed) report(false, `${name} (chromium)`);
    if (outcome.passed.length + outcome.failed.length < files.length) report(false, "no tests (chromium)");
  } finally {
    await browser.close();
    await site.close();
  }
}

inNode();
await inChromium();
const types = node(join(root, "node_modules/typescript/bin/tsc"), "-p", examples);
report(types.ok, "the types of the examples", types.output);
const short = readFileSync(join(examples, "short.test.js"), "utf8");
report(
  readFileSync(join(root, "js/README.md"), "utf8").includes(short),
  "README.md of the package shows short.test.js",
);
const memory = node("--expose-gc", join(root, "tests/js/out/testing/memory.js"));
report(memory.ok, "what stopped brokers held is given back", memory.output);
if (memory.ok) console.log(memory.output.trim());
const timers = node("--no-warnings", join(root, "tests/js/out/testing/fake-timers.js"));
report(timers.ok, "fake timers move client and broker", timers.output);
const forgotten = node(join(root, "tests/js/out/testing/forgotten.js"));
report(
  forgotten.ok && forgotten.output.endsWith("forgotten\n"),
  "a test that forgets its broker ends, when all that it awaits is there",
  forgotten.output,
);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
