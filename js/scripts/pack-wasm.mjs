// Turns what wasm-bindgen made (a web-target glue and a module, both called `module`) into js/wasm/, under the name
// `pulsewire` or another one that is given:
//
//   pulsewire.js         the glue as a function `start(module, host)`, so that each call makes an instance with a state
//                        of its own: after a trap a new one can be made, and callbacks of the old one stay with it
//   pulsewire_bg.wasm    the module, through wasm-opt
//   inline.js            the same module, gzip in base64; `testing-inline.js` for the name `testing`
//
// node scripts/pack-wasm.mjs <directory of wasm-bindgen's output> [name]

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const [from, name = "pulsewire"] = process.argv.slice(2);
if (!from) {
  console.error("usage: node scripts/pack-wasm.mjs <directory of wasm-bindgen's output> [name]");
  process.exit(2);
}
const source = resolve(from);
const target = join(here, "..", "wasm");
mkdirSync(target, { recursive: true });

const module = join(target, `${name}_bg.wasm`);
rmSync(module, { force: true });
const wasmOpt = join(dirname(createRequire(import.meta.url).resolve("binaryen")), "bin", "wasm-opt");
execFileSync(process.execPath, [wasmOpt, join(source, "module_bg.wasm"), "-Oz", "-o", module], { stdio: "inherit" });

const inline = name === "pulsewire" ? "inline" : `${name}-inline`;
const zipped = gzipSync(readFileSync(module), { level: 9 });
writeFileSync(join(target, `${name}.js`), toFactory(readFileSync(join(source, "module.js"), "utf8")));
writeFileSync(join(target, `${name}.d.ts`), toTypes(readFileSync(join(source, "module.d.ts"), "utf8")));
writeFileSync(join(target, `${inline}.js`), `export default "${zipped.toString("base64")}";\n`);
writeFileSync(join(target, `${inline}.d.ts`), "declare const packed: string;\nexport default packed;\n");

/** Wraps the glue's module scope into a function. Fails loudly when wasm-bindgen's output has another shape. */
function toFactory(glue) {
  if (/\bimport\.meta\b/.test(glue)) fail("it uses import.meta");
  if (/^\s*import\b/m.test(glue)) fail("it imports other modules (snippets?)");
  const names = [];
  const list = /^export \{([^}]*)\};?\s*$/m.exec(glue);
  if (!list || !/\b__wbg_init as default\b/.test(list[1])) fail("it does not export __wbg_init as its default");
  const body = glue
    .replace(list[0], "")
    .replace(/^export (async function|function|class|const|let) (\w+)/gm, (_, kind, name) => {
      names.push(name);
      return `${kind} ${name}`;
    })
    // Comments that stand on lines of their own: they would travel with every page.
    .replace(/^\s*\/\*[\s\S]*?\*\/\s*$/gm, "")
    .replace(/^\s*\/\/.*$/gm, "")
    .replace(/^ +/gm, "")
    .replace(/\n{2,}/g, "\n");
  if (/^export\b/m.test(body)) fail("it has an export of an unknown form");
  const assignment = /\bwasm = (\w+)\.exports;/;
  if (!assignment.test(body)) fail("it does not assign the instance's exports");
  return [
    "// Made by wasm-bindgen and js/scripts/pack-wasm.mjs.",
    "export default async function start(module, host) {",
    "const WebSocket = host.WebSocket;",
    ...(name === "pulsewire" ? ["const setTimeout = host.setTimeout;"] : []),
    body.replace(assignment, "wasm = host.guard($1.exports);").trim(),
    "await __wbg_init({ module_or_path: module });",
    `return { ${names.join(", ")} };`,
    "}",
    "",
  ].join("\n");
}

/** The types of what the function resolves with: the compiler holds core.ts against what Rust exports. */
function toTypes(types) {
  const end = types.indexOf("export type InitInput");
  if (end < 0) fail("its types do not declare InitInput");
  const names = [...types.slice(0, end).matchAll(/^export (?:class|function) (\w+)/gm)].map((match) => match[1]);
  return [
    types
      .slice(0, end)
      .replace(/^export /gm, "declare ")
      .trim(),
    "",
    `export interface Glue { ${names.map((name) => `${name}: typeof ${name}`).join("; ")} }`,
    "export default function start(module: WebAssembly.Module, host: unknown): Promise<Glue>;",
    "",
  ].join("\n");
}

function fail(why) {
  throw new Error(`wasm-bindgen's glue has changed its shape: ${why}; mend js/scripts/pack-wasm.mjs`);
}
