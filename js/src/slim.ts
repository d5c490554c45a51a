/**
 * The package without the WebAssembly module inside, for those who serve `pulsewire/pulsewire.wasm` themselves.
 *
 * @example
 * ```ts
 * import wasm from "pulsewire/pulsewire.wasm?url";
 * import { Client, init } from "pulsewire/slim";
 *
 * init(new URL(wasm, location.href));
 * const client = new Client({ serviceUrl: "ws://localhost:8080" });
 * ```
 *
 * @packageDocumentation
 */

import { ClientBase } from "./client.js";
import { PulsarError } from "./errors.js";
import { Loader } from "./loader.js";
import type { ClientOptions } from "./options.js";

export * from "./api.js";

/** What {@link init} takes: the module compiled, as bytes, in a response, or where to fetch it. */
export type WasmSource =
  | WebAssembly.Module
  | ArrayBuffer
  | Uint8Array
  | Response
  | URL
  | Promise<WebAssembly.Module | ArrayBuffer | Uint8Array | Response>;

let source: WasmSource | undefined;
const loader = /* @__PURE__ */ new Loader(async () => {
  if (source === undefined) {
    throw new PulsarError("ModuleLoadFailed", "call init() of pulsewire/slim before the first call of a client");
  }
  return compile(await source);
});

/** Says where the WebAssembly module comes from. Nothing is loaded before the first call or {@link ready}. */
export function init(wasm: WasmSource): void {
  source = wasm;
}

async function compile(from: Awaited<WasmSource>): Promise<WebAssembly.Module> {
  if (from instanceof WebAssembly.Module) return from;
  if (from instanceof URL) return compile(await fetch(from));
  if (from instanceof Response) {
    if (!from.ok) throw new Error(`HTTP status ${from.status} for ${from.url}`);
    // A copy, so that a retry after a failure finds the body unread.
    return WebAssembly.compile(await from.clone().arrayBuffer());
  }
  return WebAssembly.compile(from as BufferSource);
}

/** A connection to a Pulsar cluster. */
export class Client extends ClientBase {
  /**
   * @throws PulsarError with code `InvalidServiceUrl` or `InvalidArgument` when the options cannot be used.
   */
  constructor(options: ClientOptions) {
    super(options, loader);
  }
}

/**
 * Loads the WebAssembly module ahead of the first call, which otherwise does it.
 *
 * @throws PulsarError with code `ModuleLoadFailed`; the next call tries again.
 */
export async function ready(): Promise<void> {
  await loader.ready();
}
