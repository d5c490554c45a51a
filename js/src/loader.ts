import { PulsarError } from "./errors.js";
import { type Instance, instantiate } from "./instance.js";

/** Where a compiled module comes from. @internal */
export type ModuleSource = () => Promise<WebAssembly.Module>;

/**
 * Keeps one compiled module and one living instance of it.
 *
 * Nothing is compiled before the first call, and never synchronously. A failed load is forgotten, so that the next call
 * tries again; an instance that has trapped is forgotten, so that the next client gets a new one of the same module.
 *
 * @internal
 */
export class Loader {
  readonly #source: ModuleSource;
  readonly #instantiate: (module: WebAssembly.Module) => Promise<Instance>;
  #module: Promise<WebAssembly.Module> | undefined;
  #instance: Promise<Instance> | undefined;

  constructor(source: ModuleSource, start: (module: WebAssembly.Module) => Promise<Instance> = instantiate) {
    this.#source = source;
    this.#instantiate = start;
  }

  /** The living instance, made on the first call. */
  ready(): Promise<Instance> {
    this.#instance ??= this.#start();
    return this.#instance;
  }

  #start(): Promise<Instance> {
    this.#module ??= this.#source();
    const module = this.#module;
    const started = module.then(
      (compiled) => this.#instantiate(compiled),
      (cause: unknown) => {
        if (this.#module === module) this.#module = undefined;
        throw cause;
      },
    );
    const instance = started.catch((cause: unknown) => {
      if (this.#instance === instance) this.#instance = undefined;
      throw loadError(cause);
    });
    instance.then(
      (living) =>
        living.onTrap(() => {
          if (this.#instance === instance) this.#instance = undefined;
        }),
      () => {},
    );
    return instance;
  }
}

/** Why a module cannot be had. @internal */
export function loadError(cause: unknown): PulsarError {
  if (cause instanceof PulsarError) return cause;
  const detail = cause instanceof Error ? cause.message : String(cause);
  const hint = /unsafe-eval|Content Security Policy|code generation/i.test(detail)
    ? "; this page's Content-Security-Policy must allow 'wasm-unsafe-eval' in script-src"
    : "";
  return new PulsarError("ModuleLoadFailed", `the WebAssembly module could not be loaded: ${detail}${hint}`, {
    retryable: true,
    cause,
  });
}
