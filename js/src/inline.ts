import packed from "../wasm/inline.js";
import { unpack } from "./packed.js";

/** Compiles the client's module. @internal */
export function inlineModule(): Promise<WebAssembly.Module> {
  return unpack(packed);
}
