import type { ClientBase } from "./client.js";
import type { CoreProducer, CoreSendMeta } from "./core.js";
import { alreadyClosed, invalidArgument, type PulsarError } from "./errors.js";
import { refusal, WAIT } from "./known.js";
import type { MessageId } from "./message-id.js";
import type { SendOptions, WaitOptions } from "./options.js";
import type { Session } from "./session.js";

const encoder = new TextEncoder();

const SEND: ReadonlySet<string> = new Set<keyof SendOptions>([
  "key",
  "keyBytes",
  "orderingKey",
  "properties",
  "eventTime",
  "sequenceId",
  "nullValue",
  "signal",
]);

interface Waiter {
  resolve(id: MessageId): void;
  reject(reason: unknown): void;
}

/** Publishes to one topic. Made by {@link ClientBase.createProducer}. */
export class Producer {
  /** The topic that it publishes to, by its full name. */
  readonly topic: string;
  /** The producer's name, as given or as the broker chose it. */
  readonly name: string;
  readonly #session: Session;
  readonly #handle: number;
  /** The sends that wait, by token less `#first`; a hole for one that has ended before those ahead of it. */
  #waiting: (Waiter | undefined)[] = [];
  #first = 0;
  #head = 0;
  #closing: Promise<void> | undefined;
  #ended: PulsarError | undefined;

  /** @internal */
  constructor(session: Session, opened: CoreProducer) {
    this.topic = opened.topic;
    this.name = opened.name;
    this.#session = session;
    this.#handle = opened.handle;
    session.joinProducer(opened.handle, {
      sent: (token, id, error) => this.#sent(token, id, error),
      ended: (error) => {
        this.#ended ??= error;
        const left = this.#waiting;
        this.#waiting = [];
        if (left.length > 0) session.keeper?.release();
        for (const waiter of left) waiter?.reject(error);
      },
    });
  }

  /**
   * Publishes a message and resolves with its id when the broker has stored it.
   *
   * The payload is copied before the call returns; sends of one turn of the event loop leave together. Many may be in
   * flight: their receipts come in the order of the calls.
   */
  send(data: Uint8Array | string, options?: SendOptions): Promise<MessageId> {
    if (this.#ended) return Promise.reject(this.#ended);
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(signal.reason);
    let token: number;
    try {
      const payload = typeof data === "string" ? encoder.encode(data) : data;
      if (!(payload instanceof Uint8Array)) {
        throw invalidArgument(`a payload is a Uint8Array or a string, not ${describe(data)}`);
      }
      const meta = options && toMeta(options);
      token = this.#session.call((engine) => engine.send(this.#handle, payload, meta));
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#receipt(token, signal);
  }

  #receipt(token: number, signal: AbortSignal | undefined): Promise<MessageId> {
    return new Promise<MessageId>((resolve, reject) => {
      if (!signal) {
        this.#wait(token, { resolve, reject });
        return;
      }
      // After an abort the receipt still comes, to a promise that is settled: that does nothing.
      const abort = (): void => reject(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      this.#wait(token, {
        resolve: (id) => {
          signal.removeEventListener("abort", abort);
          resolve(id);
        },
        reject: (error) => {
          signal.removeEventListener("abort", abort);
          reject(error);
        },
      });
    });
  }

  /** Tokens count up by one, so a plain array holds the waiting sends: no hashing on the hot path. */
  #wait(token: number, waiter: Waiter): void {
    if (this.#waiting.length === 0) {
      this.#first = token;
      this.#session.keeper?.hold();
    }
    this.#waiting[token - this.#first] = waiter;
  }

  #sent(token: number, id: MessageId | undefined, error: PulsarError | undefined): void {
    const at = token - this.#first;
    const waiter = this.#waiting[at];
    if (!waiter) return;
    this.#waiting[at] = undefined;
    if (id) waiter.resolve(id);
    else waiter.reject(error);
    while (this.#head < this.#waiting.length && this.#waiting[this.#head] === undefined) this.#head += 1;
    if (this.#head === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#head = 0;
      this.#session.keeper?.release();
    } else if (this.#head >= 1024 && this.#head * 2 >= this.#waiting.length) {
      this.#waiting.splice(0, this.#head);
      this.#first += this.#head;
      this.#head = 0;
    }
  }

  /** Whether {@link Producer.close} was called or the producer has ended by itself. */
  get closed(): boolean {
    return this.#ended !== undefined;
  }

  /** Waits for the pending sends, then closes the producer. Closing twice is closing once. */
  close(options?: WaitOptions): Promise<void> {
    const wrong = refusal(options, WAIT, "close");
    if (wrong) return Promise.reject(wrong);
    if (!this.#closing) {
      if (this.#ended) return Promise.resolve();
      this.#ended = alreadyClosed("producer");
      this.#closing = this.#session
        .start<void>((engine) => engine.closeProducer(this.#handle))
        .finally(() => this.#session.leaveProducer(this.#handle));
    }
    return abortable(this.#closing, options?.signal);
  }

  /** Closes it at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Gives up waiting for a promise that goes on without us. @internal */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function toMeta(options: SendOptions): CoreSendMeta | undefined {
  const wrong = refusal(options, SEND, "send");
  if (wrong) throw wrong;
  const { key, keyBytes, orderingKey, properties, eventTime, sequenceId, nullValue } = options;
  if (key !== undefined && keyBytes !== undefined) throw invalidArgument("give key or keyBytes, not both");
  if (key !== undefined && typeof key !== "string") throw invalidArgument("key must be a string");
  const meta: CoreSendMeta = { key, keyBytes, orderingKey, sequenceId, nullValue };
  if (properties) {
    const flat: string[] = [];
    for (const [name, value] of Object.entries(properties)) {
      if (typeof value !== "string")
        throw invalidArgument(`property '${name}' must be a string, not ${describe(value)}`);
      flat.push(name, value);
    }
    meta.properties = flat;
  }
  if (eventTime !== undefined) {
    const time = Number(eventTime);
    if (!Number.isSafeInteger(time) || time < 0)
      throw invalidArgument(`eventTime ${time} is not a time in milliseconds`);
    meta.eventTime = time;
  }
  return meta;
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  return value.constructor?.name ?? "an object";
}
