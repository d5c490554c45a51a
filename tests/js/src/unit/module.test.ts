import * as inline from "pulsewire";
import * as slim from "pulsewire/slim";
import { equal, ok, rejects, unit } from "../harness.js";

/** The bytes of the module, as a page or a program would come by them. */
async function bytes(): Promise<Uint8Array<ArrayBuffer>> {
  const path = "../../../../js/wasm/pulsewire_bg.wasm";
  const url = new URL(path, import.meta.url);
  if (url.protocol !== "file:") return new Uint8Array(await (await fetch(url)).arrayBuffer());
  const fs = "node:fs/promises";
  const { readFile } = (await import(fs)) as typeof import("node:fs/promises");
  return Uint8Array.from(await readFile(url));
}

unit("n01_inline_module_loads", async () => {
  await Promise.all([inline.ready(), inline.ready()]);
});

unit("n01_slim_module_loads_from_bytes_module_and_response", async () => {
  await rejects(slim.ready(), "ModuleLoadFailed");
  slim.init(Uint8Array.of(0, 1, 2));
  const error = await rejects(slim.ready(), "ModuleLoadFailed");
  ok(error.cause instanceof WebAssembly.CompileError, String(error.cause));
  slim.init(new Response(await bytes()));
  await slim.ready();
  const compiled = await WebAssembly.compile(await bytes());
  equal(compiled instanceof WebAssembly.Module, true);
  slim.init(compiled);
  await slim.ready();
});

unit("k01_no_websocket_says_what_to_do", async () => {
  const kept = globalThis.WebSocket;
  Reflect.deleteProperty(globalThis, "WebSocket");
  // The check is made inside the call: other tests never see the global missing.
  const call = new inline.Client({ serviceUrl: "ws://localhost:1" }).topics("public/default");
  globalThis.WebSocket = kept;
  const error = await rejects(call, "NoWebSocket");
  ok(error.message.includes("globalThis.WebSocket"), error.message);
});
