import type { ClientBase } from "./client.js";
import { type CoreConsumer, RECORD } from "./core.js";
import { alreadyClosed, invalidArgument, PulsarError } from "./errors.js";
import { refusal, WAIT } from "./known.js";
import { Block, Message } from "./message.js";
import { MessageId } from "./message-id.js";
import type { ReceiveOptions, WaitOptions } from "./options.js";
import { abortable } from "./producer.js";
import type { Session } from "./session.js";

/** Messages and bytes that cross the boundary in one call at most. */
const TAKE_MESSAGES = 1000;
const TAKE_BYTES = 1 << 20;

const RECEIVE: ReadonlySet<string> = new Set<keyof ReceiveOptions>(["timeout", "signal"]);

const DONE: Promise<void> = Promise.resolve();
const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

interface Waiter {
  resolve(message: Message): void;
  reject(reason: unknown): void;
}

/**
 * Receives the messages of a subscription. Made by {@link ClientBase.subscribe}.
 *
 * @example
 * ```ts
 * for await (const message of consumer) {
 *   console.log(message.id.toString(), message.text());
 *   await consumer.acknowledge(message);
 * }
 * ```
 */
export class Consumer implements AsyncIterable<Message> {
  /** The topic, by its full name. */
  readonly topic: string;
  /** The subscription's name. */
  readonly subscription: string;
  /** The consumer's name. */
  readonly name: string;
  readonly #session: Session;
  readonly #handle: number;
  readonly #waiters: Set<Waiter> = new Set();
  #block: Block | undefined;
  #next = 0;
  /** Handed to the application and not told yet. */
  #delivered = 0;
  /** Whether the core may have messages that were not taken. */
  #more = true;
  #pumping = false;
  #closing: Promise<void> | undefined;
  #ended: PulsarError | undefined;

  /** @internal */
  constructor(session: Session, opened: CoreConsumer, subscription: string) {
    this.topic = opened.topic;
    this.name = opened.name;
    this.subscription = subscription;
    this.#session = session;
    this.#handle = opened.handle;
    session.joinConsumer(opened.handle, {
      ready: () => {
        this.#more = true;
        this.#pump();
      },
      reset: () => {
        this.#block = undefined;
      },
      ended: (error) => this.#end(error),
    });
  }

  /**
   * Resolves with the next message. Calls that wait at the same time are served in their order.
   *
   * Rejects with code `Timeout` after `timeout`, with the signal's reason after an abort, with `AlreadyClosed` once the
   * consumer is closed. A message is never lost by that: it goes to the next call.
   */
  receive(options?: ReceiveOptions): Promise<Message> {
    const wrong = refusal(options, RECEIVE, "receive");
    if (wrong) return Promise.reject(wrong);
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(signal.reason);
    try {
      if (this.#ended) throw this.#ended;
      const message = this.#waiters.size === 0 ? this.#takeOne() : undefined;
      if (message) return Promise.resolve(message);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#wait(signal, options?.timeout);
  }

  #wait(signal: AbortSignal | undefined, timeout: number | undefined): Promise<Message> {
    return new Promise<Message>((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const clear = (): void => {
        if (this.#waiters.delete(waiter) && this.#waiters.size === 0) this.#session.keeper?.release();
        if (timer !== undefined) clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const waiter: Waiter = {
        resolve: (message) => {
          clear();
          resolve(message);
        },
        reject: (reason) => {
          clear();
          reject(reason);
        },
      };
      const abort = (): void => waiter.reject(signal?.reason);
      if (this.#waiters.size === 0) this.#session.keeper?.hold();
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", abort, { once: true });
      if (timeout !== undefined) {
        timer = setTimeout(() => {
          waiter.reject(new PulsarError("Timeout", `no message within ${timeout} ms`, { retryable: true }));
        }, timeout);
      }
    });
  }

  /** The permits of messages that the application has go back to the broker, a quarter of a block at a time. */
  #tellDelivered(): void {
    const messages = this.#delivered;
    this.#delivered = 0;
    this.#session.call((engine) => engine.delivered(this.#handle, messages));
  }

  /** The next message that needs no waiting. */
  #takeOne(): Message | undefined {
    let block = this.#block;
    if (!block) {
      if (!this.#more) return undefined;
      const bytes = this.#session.call((engine) => engine.take(this.#handle, TAKE_MESSAGES, TAKE_BYTES));
      if (!bytes) {
        this.#more = false;
        return undefined;
      }
      block = new Block(bytes);
      if (block.count === 0) return undefined;
      this.#block = block;
      this.#next = 0;
    }
    const message = block.message(this.#next++);
    this.#delivered += 1;
    if (this.#next >= block.count) {
      this.#block = undefined;
      this.#tellDelivered();
    } else if (this.#delivered * 4 >= block.count) {
      this.#tellDelivered();
    }
    return message;
  }

  /** Serves the waiting calls, outside of the module's callback. */
  #pump(): void {
    if (this.#pumping || this.#waiters.size === 0) return;
    this.#pumping = true;
    queueMicrotask(() => {
      this.#pumping = false;
      for (const waiter of this.#waiters) {
        if (this.#ended) return;
        try {
          const message = this.#takeOne();
          if (!message) return;
          waiter.resolve(message);
        } catch (error) {
          // One message that cannot be read, or the end of everything: the next turn tells which.
          waiter.reject(error);
        }
      }
    });
  }

  #end(error: PulsarError): void {
    this.#ended ??= error;
    this.#block = undefined;
    for (const waiter of this.#waiters) waiter.reject(this.#ended);
  }

  /**
   * Acknowledges one message. It is on its way when the call returns; {@link Consumer.close} waits until it is sent.
   */
  acknowledge(message: Message | MessageId): Promise<void> {
    return this.#ack(message, false);
  }

  /** Acknowledges a message and all before it. Not for shared and key-shared subscriptions. */
  acknowledgeCumulative(message: Message | MessageId): Promise<void> {
    return this.#ack(message, true);
  }

  #ack(message: Message | MessageId, cumulative: boolean): Promise<void> {
    if (this.#ended) return Promise.reject(this.#ended);
    try {
      this.#session.call((engine) => {
        if (message instanceof Message) {
          // Straight from the block: no id is made for an acknowledgement.
          const { view } = message.block;
          const { at } = message;
          engine.acknowledge(
            this.#handle,
            view.getUint32(at + RECORD.ledger, true),
            view.getUint32(at + RECORD.ledger + 4, true),
            view.getUint32(at + RECORD.entry, true),
            view.getUint32(at + RECORD.entry + 4, true),
            view.getInt32(at + RECORD.partition, true),
            view.getInt32(at + RECORD.batchIndex, true),
            view.getUint32(at + RECORD.batchSize, true),
            cumulative,
          );
        } else {
          const id = idOf(message);
          engine.acknowledge(
            this.#handle,
            id.ledgerLo,
            id.ledgerHi,
            id.entryLo,
            id.entryHi,
            id.partition,
            id.batchIndex,
            id.batchSize,
            cumulative,
          );
        }
      });
      return DONE;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Asks for a message again, after `negativeAckRedeliveryDelay`. */
  negativeAcknowledge(message: Message | MessageId): void {
    if (this.#ended) throw this.#ended;
    const id = idOf(message);
    this.#session.call((engine) =>
      engine.negativeAcknowledge(
        this.#handle,
        id.ledgerLo,
        id.ledgerHi,
        id.entryLo,
        id.entryHi,
        id.partition,
        id.batchIndex,
        id.batchSize,
      ),
    );
  }

  /**
   * The messages as they come, for `for await`; with a signal that ends the loop by throwing its reason.
   *
   * The loop ends quietly when the consumer is closed, and throws when it ends by an error. Leaving the loop does not
   * close the consumer.
   */
  messages(options?: WaitOptions): AsyncIterableIterator<Message, undefined> {
    const wrong = refusal(options, WAIT, "messages");
    if (wrong) throw wrong;
    const next = (): Promise<IteratorResult<Message, undefined>> =>
      this.receive(options).then(
        (value): IteratorResult<Message, undefined> => ({ done: false, value }),
        (error: unknown) => {
          if (error instanceof PulsarError && error.code === "AlreadyClosed") return END;
          throw error;
        },
      );
    return {
      next,
      return: () => Promise.resolve(END),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** As {@link Consumer.messages} without options. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message, undefined> {
    return this.messages();
  }

  /** Whether {@link Consumer.close} was called or the consumer has ended by itself. */
  get closed(): boolean {
    return this.#ended !== undefined;
  }

  /** Sends the acknowledgements that wait, then closes the consumer; waiting calls end. Closing twice is closing once. */
  close(options?: WaitOptions): Promise<void> {
    const wrong = refusal(options, WAIT, "close");
    if (wrong) return Promise.reject(wrong);
    if (!this.#closing) {
      if (this.#ended) return DONE;
      this.#end(alreadyClosed("consumer"));
      this.#closing = this.#session
        .start<void>((engine) => engine.closeConsumer(this.#handle))
        .finally(() => this.#session.leaveConsumer(this.#handle));
    }
    return abortable(this.#closing, options?.signal);
  }

  /** Deletes the subscription with its cursor, then closes the consumer. */
  async unsubscribe(options?: WaitOptions): Promise<void> {
    const wrong = refusal(options, WAIT, "unsubscribe");
    if (wrong) throw wrong;
    if (this.#ended) throw this.#ended;
    await this.#session.start<void>((engine) => engine.unsubscribe(this.#handle), options?.signal);
    await this.close(options);
  }

  /** Closes it at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function idOf(message: Message | MessageId): MessageId {
  if (message instanceof Message) return message.id;
  if (message instanceof MessageId) return message;
  throw invalidArgument("acknowledge takes a Message or a MessageId");
}
