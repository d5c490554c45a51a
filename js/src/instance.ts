import start from "../wasm/pulsewire.js";
import type { Core } from "./core.js";
import { PulsarError } from "./errors.js";
import { isInProcess, openInProcess } from "./in-process.js";

/** A living instance of the module. @internal */
export interface Instance {
  readonly core: Core;
  /** Reports a trap that a call from TypeScript ran into. */
  trapped(error: unknown): void;
  /** Calls back when the instance has trapped: it must not be called any more. Returns how to stop listening. */
  onTrap(listener: (error: PulsarError) => void): () => void;
}

/** What the generated glue asks of its surroundings; see `scripts/pack-wasm.mjs`. */
interface Host {
  /** Stands for the global of that name inside the glue. */
  WebSocket: new (
    url: string,
    protocols?: string | string[],
  ) => WebSocket;
  /** Stands for the global of that name inside the glue. */
  setTimeout(work: () => void, ms: number): unknown;
  /** Given the instance's exports once; what it returns is used in their place. */
  guard(exports: WebAssembly.Exports): WebAssembly.Exports;
}

/**
 * Makes an instance of a compiled module.
 *
 * The module aborts on a panic. The host may run into that in two places: a call from this package, which reports it by
 * {@link Instance.trapped}, and a callback that the module gave to a socket or a timer, which nobody of ours calls:
 * those are wrapped here, so that the trap is told to the clients and not thrown at the event loop.
 *
 * @internal
 */
export async function instantiate(module: WebAssembly.Module): Promise<Instance> {
  const sockets = new Set<WebSocket>();
  const listeners = new Set<(error: PulsarError) => void>();
  let panic: string | undefined;
  let dead: PulsarError | undefined;

  const trapped = (cause: unknown): void => {
    if (dead) return;
    const what = panic ?? (cause instanceof Error ? cause.message : String(cause));
    dead = new PulsarError(
      "Fatal",
      `pulsewire's WebAssembly module has failed, please report it: ${what}; make a new Client to go on`,
      { cause },
    );
    for (const socket of sockets) {
      try {
        socket.close();
      } catch {
        // A socket that cannot be closed is of no more use to a dead instance either way.
      }
    }
    sockets.clear();
    for (const listener of [...listeners]) listener(dead);
    listeners.clear();
  };

  // A function that is called with `new` and returns another object: each socket is known, to be closed after a trap.
  function open(url: string, protocols?: string | string[]): WebSocket {
    const Socket = globalThis.WebSocket;
    const socket = openInProcess(url) ?? (protocols === undefined ? new Socket(url) : new Socket(url, protocols));
    sockets.add(socket);
    socket.addEventListener("close", () => sockets.delete(socket));
    return socket;
  }

  // Whether a client of this instance leads out of the program. Else its timers keep no program of Node's running:
  // see Keeper for what does.
  let outside = false;

  const host: Host = {
    WebSocket: open as unknown as Host["WebSocket"],
    setTimeout(work, ms) {
      const timer: unknown = setTimeout(work, ms);
      if (!outside) (timer as { unref?: () => void }).unref?.();
      return timer;
    },
    guard(exports) {
      const guarded: Record<string, WebAssembly.ExportValue> = {};
      for (const [name, value] of Object.entries(exports)) {
        guarded[name] = typeof value === "function" && !isHot(name) ? wrap(value as Callback) : value;
      }
      return guarded;
    },
  };

  type Callback = (...args: unknown[]) => unknown;
  const wrap = (inner: Callback): Callback => {
    return (...args) => {
      if (dead) return undefined;
      try {
        return inner(...args);
      } catch (error) {
        if (!isTrap(error)) throw error;
        trapped(error);
        return undefined;
      }
    };
  };

  const glue = await start(module, host);
  if (dead) throw dead;
  glue.setPanicHandler((message: string) => {
    panic = message;
  });

  return {
    core: {
      createEngine(serviceUrl, options, sink) {
        outside ||= !isInProcess(serviceUrl);
        return new glue.Engine(serviceUrl, options, sink);
      },
    },
    trapped,
    onTrap(listener) {
      if (dead) listener(dead);
      else listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Exports that only this package calls, through {@link Instance.trapped}, or that the glue calls inside those. */
function isHot(name: string): boolean {
  return name.startsWith("engine_") || /^__(wbindgen_(malloc|realloc|free|start)|externref_table)/.test(name);
}

/** Whether an error means that the instance is lost. @internal */
export function isTrap(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
}
