// Prints what the package costs to load and fails over a limit: a module with its bindings, gzip. The client's is what
// pages load; the broker's of `pulsewire/testing` is loaded by tests alone.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const LIMIT_KB = 140;
const AIM_KB = 100;
const TESTING_LIMIT_KB = 380;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");

const files = {
  "module (pulsewire_bg.wasm)": "wasm/pulsewire_bg.wasm",
  "bindings (pulsewire.js)": "wasm/pulsewire.js",
  "module inline (inline.js)": "wasm/inline.js",
  "broker (testing_bg.wasm)": "wasm/testing_bg.wasm",
  "its bindings (testing.js)": "wasm/testing.js",
};
const kb = (bytes) => `${(bytes / 1000).toFixed(1).padStart(8)} KB`;
const sizes = {};
console.log(`${"".padEnd(30)}${"raw".padStart(11)}${"gzip".padStart(11)}${"brotli".padStart(11)}`);
for (const [name, path] of Object.entries(files)) {
  const bytes = readFileSync(join(root, path));
  const gzip = gzipSync(bytes, { level: 9 }).length;
  sizes[path] = gzip;
  console.log(`${name.padEnd(30)}${kb(bytes.length)}${kb(gzip)}${kb(brotliCompressSync(bytes).length)}`);
}
const client = sizes["wasm/pulsewire_bg.wasm"] + sizes["wasm/pulsewire.js"];
const broker = sizes["wasm/testing_bg.wasm"] + sizes["wasm/testing.js"];
console.log(`module with bindings, gzip: ${kb(client).trim()} (limit ${LIMIT_KB} KB, aim ${AIM_KB} KB)`);
console.log(`pulsewire/testing, gzip: ${kb(broker).trim()} (limit ${TESTING_LIMIT_KB} KB)`);
if (client > LIMIT_KB * 1000) console.error(`the module is over its limit of ${LIMIT_KB} KB`);
if (broker > TESTING_LIMIT_KB * 1000) console.error(`pulsewire/testing is over its limit of ${TESTING_LIMIT_KB} KB`);
if (client > LIMIT_KB * 1000 || broker > TESTING_LIMIT_KB * 1000) process.exit(1);
