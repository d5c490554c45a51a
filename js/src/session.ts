import type { CoreError, CoreState, Engine, Sink } from "./core.js";
import { RECEIPT_WORDS } from "./core.js";
import { alreadyClosed, type PulsarError, toPulsarError } from "./errors.js";
import { isInProcess, isServed } from "./in-process.js";
import { type Instance, isTrap } from "./instance.js";
import { Keeper } from "./keeper.js";
import { MessageId } from "./message-id.js";

interface Waiting<T> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** How a producer learns what became of its sends. @internal */
export interface SendMember extends Member {
  sent(token: number, id: MessageId | undefined, error: PulsarError | undefined): void;
}

/** What a producer or consumer hears from its session. @internal */
export interface Member {
  /** Messages wait. */
  ready?(): void;
  /** Messages that were taken and not delivered come again. */
  reset?(): void;
  /** It is over. */
  ended(error: PulsarError): void;
}

/** What a client hears from its session. @internal */
export interface SessionOwner {
  state(event: CoreState): void;
  fatal(error: PulsarError): void;
}

/**
 * One engine inside the module and the promises that belong to it.
 *
 * @internal
 */
export class Session implements Sink {
  /** Where no socket keeps the program running. */
  readonly keeper: Keeper | undefined;
  readonly #instance: Instance;
  readonly #owner: SessionOwner;
  readonly #engine: Engine;
  readonly #ops = new Map<number, Waiting<unknown>>();
  readonly #producers = new Map<number, SendMember>();
  readonly #consumers = new Map<number, Member>();
  /** Connections that are to be made, again or for the first time. */
  readonly #missing = new Set<string>();
  readonly #unsubscribe: () => void;
  #over: PulsarError | undefined;

  constructor(instance: Instance, serviceUrl: string, options: object, owner: SessionOwner) {
    this.#instance = instance;
    this.#owner = owner;
    this.keeper = isInProcess(serviceUrl) ? new Keeper() : undefined;
    try {
      this.#engine = instance.core.createEngine(serviceUrl, options, this);
    } catch (error) {
      throw this.#failure(error);
    }
    this.#unsubscribe = instance.onTrap((error) => {
      this.#finish(error);
      owner.fatal(error);
    });
  }

  /** Calls into the engine; what it throws becomes an error of this package. */
  call<T>(work: (engine: Engine) => T): T {
    if (this.#over) throw this.#over;
    try {
      return work(this.#engine);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): PulsarError {
    if (isTrap(error)) {
      this.#instance.trapped(error);
      if (this.#over) return this.#over;
    }
    return toPulsarError(error);
  }

  /**
   * Starts a control operation. With a signal the promise rejects as soon as it is aborted; the operation then goes on
   * without a listener, and `late` is given its value, to undo it.
   */
  start<T>(work: (engine: Engine) => number, signal?: AbortSignal, late?: (value: T) => void): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    let op: number;
    try {
      op = this.call(work);
    } catch (error) {
      return Promise.reject(error);
    }
    return new Promise<T>((resolve, reject) => {
      const ops = this.#ops as Map<number, Waiting<T>>;
      this.keeper?.hold();
      if (!signal) {
        ops.set(op, { resolve, reject });
        return;
      }
      const abort = (): void => {
        ops.set(op, { resolve: late ?? ignore, reject: ignore });
        reject(signal.reason);
      };
      signal.addEventListener("abort", abort, { once: true });
      ops.set(op, {
        resolve: (value) => {
          signal.removeEventListener("abort", abort);
          resolve(value);
        },
        reject: (error) => {
          signal.removeEventListener("abort", abort);
          reject(error);
        },
      });
    });
  }

  joinProducer(handle: number, member: SendMember): void {
    this.#producers.set(handle, member);
  }

  leaveProducer(handle: number): void {
    this.#producers.delete(handle);
  }

  joinConsumer(handle: number, member: Member): void {
    this.#consumers.set(handle, member);
  }

  leaveConsumer(handle: number): void {
    this.#consumers.delete(handle);
  }

  /** Closes the engine in order, then frees it. */
  async close(): Promise<void> {
    if (this.#over) return;
    try {
      await this.start<void>((engine) => engine.close());
    } finally {
      this.#finish(alreadyClosed("client"), true);
    }
  }

  #finish(error: PulsarError, free = false): void {
    if (this.#over) return;
    this.#over = error;
    this.#unsubscribe?.();
    for (const waiting of this.#ops.values()) waiting.reject(error);
    this.#ops.clear();
    for (const members of [this.#producers, this.#consumers]) {
      for (const member of members.values()) member.ended(error);
      members.clear();
    }
    this.keeper?.end();
    if (!free) return;
    // Not inside a callback of the module, which would free what it stands on.
    queueMicrotask(() => {
      try {
        this.#engine.free();
      } catch (thrown) {
        if (isTrap(thrown)) this.#instance.trapped(thrown);
      }
    });
  }

  completed(op: number, error: CoreError | null, value: unknown): void {
    const waiting = this.#ops.get(op);
    if (!waiting) return;
    this.#ops.delete(op);
    this.keeper?.release();
    if (error) waiting.reject(toPulsarError(error));
    else waiting.resolve(value);
  }

  receipts(packed: Uint32Array, errors: readonly CoreError[]): void {
    const signed = new Int32Array(packed.buffer, packed.byteOffset, packed.length);
    for (let at = 0; at + RECEIPT_WORDS <= packed.length; at += RECEIPT_WORDS) {
      const producer = this.#producers.get(word(packed, at));
      if (!producer) continue;
      const token = word(packed, at + 1) + word(packed, at + 2) * 0x1_0000_0000;
      const status = word(packed, at + 3);
      if (status !== 0) {
        producer.sent(token, undefined, toPulsarError(errors[status - 1]));
        continue;
      }
      const id = new MessageId(
        word(packed, at + 4),
        word(packed, at + 5),
        word(packed, at + 6),
        word(packed, at + 7),
        signed[at + 8] ?? -1,
        signed[at + 9] ?? -1,
        word(packed, at + 10),
      );
      producer.sent(token, id, undefined);
    }
  }

  ready(consumer: number): void {
    this.#consumers.get(consumer)?.ready?.();
  }

  reset(consumer: number): void {
    this.#consumers.get(consumer)?.reset?.();
  }

  ended(kind: "producer" | "consumer", handle: number, error: CoreError): void {
    const members = kind === "producer" ? this.#producers : this.#consumers;
    const member = members.get(handle);
    members.delete(handle);
    member?.ended(toPulsarError(error));
  }

  state(event: CoreState): void {
    if (this.keeper) this.#hasChanged(this.keeper, event);
    this.#owner.state(event);
  }

  /** Who waits for a connection may wait for nothing but its `state` event; it can come while its broker runs. */
  #hasChanged(keeper: Keeper, { url, state }: CoreState): void {
    if (state !== "connected" && isServed(url)) {
      if (!this.#missing.has(url)) keeper.hold();
      this.#missing.add(url);
    } else if (this.#missing.delete(url)) keeper.release();
  }
}

function word(packed: Uint32Array, at: number): number {
  return packed[at] ?? 0;
}

function ignore(): void {}
