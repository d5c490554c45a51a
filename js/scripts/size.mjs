// Prints what the package costs to load and fails over the limit: the module with its bindings, gzip.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const LIMIT_KB = 140;
const AIM_KB = 100;
const root = join(dirname(fileURLToPath(import.meta.url)), "..");

const files = {
  "module (pulsewire_bg.wasm)": "wasm/pulsewire_bg.wasm",
  "bindings (pulsewire.js)": "wasm/pulsewire.js",
  "module inline (inline.js)": "wasm/inline.js",
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
const total = sizes["wasm/pulsewire_bg.wasm"] + sizes["wasm/pulsewire.js"];
console.log(`module with bindings, gzip: ${kb(total).trim()} (limit ${LIMIT_KB} KB, aim ${AIM_KB} KB)`);
if (total > LIMIT_KB * 1000) {
  console.error(`over the limit of ${LIMIT_KB} KB`);
  process.exit(1);
}
