// What the unit tests use of the package's inside. It is not in the published types, so it is declared here.

import type { ClientBase, ClientOptions, Message, PulsarError } from "pulsewire";
import * as clientModule from "../../../js/dist/client.js";
import type { Core } from "../../../js/dist/core.js";
import * as loaderModule from "../../../js/dist/loader.js";
import * as messageModule from "../../../js/dist/message.js";

export interface Instance {
  core: Core;
  trapped(error: unknown): void;
  onTrap(listener: (error: PulsarError) => void): () => void;
}

export interface LoaderLike {
  ready(): Promise<Instance>;
}

export const Loader = (loaderModule as unknown as Record<string, unknown>).Loader as new (
  source: () => Promise<WebAssembly.Module>,
  start?: (module: WebAssembly.Module) => Promise<Instance>,
) => LoaderLike;

export const BaseClient = (clientModule as unknown as Record<string, unknown>).ClientBase as new (
  options: ClientOptions,
  loader: LoaderLike,
) => ClientBase;

export const Block = (messageModule as unknown as Record<string, unknown>).Block as new (
  bytes: Uint8Array,
) => { readonly count: number; message(index: number): Message };
