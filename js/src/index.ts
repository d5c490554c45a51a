/**
 * Apache Pulsar in browsers, edge runtimes and Node, without an addon.
 *
 * @example
 * ```ts
 * import { Client } from "pulsewire";
 *
 * const client = new Client({ serviceUrl: "ws://localhost:8081/pulsar" });
 * const producer = await client.createProducer({ topic: "greetings" });
 * const id = await producer.send("hello", { key: "en" });
 * ```
 *
 * @packageDocumentation
 */

import { ClientBase } from "./client.js";
import { inlineModule } from "./inline.js";
import { Loader } from "./loader.js";
import type { ClientOptions } from "./options.js";

export * from "./api.js";

const loader = /* @__PURE__ */ new Loader(inlineModule);

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
