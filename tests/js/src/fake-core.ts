// A core without a wire: topics in memory, behind the same boundary as the compiled module. For the unit tests of the
// TypeScript side, and for looking at the console without a cluster.

import type { PulsarError } from "pulsewire";
import {
  ABSENT,
  BLOCK_HEADER,
  type Core,
  type CoreError,
  type CoreSendMeta,
  type Engine,
  FLAG_NULL_VALUE,
  RECEIPT_WORDS,
  RECORD,
  RECORD_SIZE,
  type Sink,
} from "../../../js/dist/core.js";
import type { Instance } from "./internals.js";

const encoder = new TextEncoder();

/** A message as the fake keeps it; also what {@link packBlock} packs. */
export interface FakeMessage {
  ledger: bigint;
  entry: bigint;
  partition?: number;
  batchIndex?: number;
  batchSize?: number;
  redeliveryCount?: number;
  publishTime?: number;
  eventTime?: number;
  brokerPublishTime?: number;
  index?: bigint;
  sequenceId?: bigint;
  payload: Uint8Array;
  key?: string;
  orderingKey?: Uint8Array;
  producerName?: string;
  replicatedFrom?: string;
  properties?: readonly string[];
  topic?: string;
  schemaVersion?: Uint8Array;
  flags?: number;
}

/** Packs messages as the module does. */
export function packBlock(messages: readonly FakeMessage[]): Uint8Array {
  const head = BLOCK_HEADER + messages.length * RECORD_SIZE;
  const record = new DataView(new ArrayBuffer(head));
  const data: Uint8Array[] = [];
  let end = head;
  const pair = (at: number, bytes: Uint8Array | undefined): void => {
    record.setUint32(at, bytes ? end : 0, true);
    record.setUint32(at + 4, bytes ? bytes.length : ABSENT, true);
    if (!bytes) return;
    data.push(bytes);
    end += bytes.length;
  };
  const text = (value: string | undefined): Uint8Array | undefined =>
    value === undefined ? undefined : encoder.encode(value);
  record.setUint32(0, messages.length, true);
  for (const [number, message] of messages.entries()) {
    const at = BLOCK_HEADER + number * RECORD_SIZE;
    record.setBigUint64(at + RECORD.ledger, message.ledger, true);
    record.setBigUint64(at + RECORD.entry, message.entry, true);
    record.setInt32(at + RECORD.partition, message.partition ?? -1, true);
    record.setInt32(at + RECORD.batchIndex, message.batchIndex ?? -1, true);
    record.setUint32(at + RECORD.batchSize, message.batchSize ?? 0, true);
    record.setUint32(at + RECORD.redeliveryCount, message.redeliveryCount ?? 0, true);
    record.setFloat64(at + RECORD.publishTime, message.publishTime ?? 0, true);
    record.setFloat64(at + RECORD.eventTime, message.eventTime ?? 0, true);
    record.setFloat64(at + RECORD.brokerPublishTime, message.brokerPublishTime ?? 0, true);
    record.setBigUint64(at + RECORD.index, message.index ?? 0xffff_ffff_ffff_ffffn, true);
    record.setBigUint64(at + RECORD.sequenceId, message.sequenceId ?? 0n, true);
    pair(at + RECORD.payload, message.payload);
    pair(at + RECORD.key, text(message.key));
    pair(at + RECORD.orderingKey, message.orderingKey);
    pair(at + RECORD.producerName, text(message.producerName));
    pair(at + RECORD.replicatedFrom, text(message.replicatedFrom));
    pair(at + RECORD.properties, packProperties(message.properties));
    pair(at + RECORD.topic, text(message.topic));
    pair(at + RECORD.schemaVersion, message.schemaVersion);
    record.setUint32(at + RECORD.flags, message.flags ?? 0, true);
  }
  const block = new Uint8Array(end);
  block.set(new Uint8Array(record.buffer));
  let at = head;
  for (const bytes of data) {
    block.set(bytes, at);
    at += bytes.length;
  }
  return block;
}

function packProperties(flat: readonly string[] | undefined): Uint8Array | undefined {
  if (!flat?.length) return undefined;
  const parts = flat.map((part) => encoder.encode(part));
  const packed = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 4));
  const view = new DataView(packed.buffer);
  view.setUint32(0, parts.length / 2, true);
  let at = 4;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    packed.set(part, at + 4);
    at += 4 + part.length;
  }
  return packed;
}

interface FakeConsumer {
  sink: Sink;
  handle: number;
  topic: string;
  queue: FakeMessage[];
  delivered: number;
  acknowledged: string[];
}

/** Topics in memory, shared by the engines that are made of it. */
export class FakeCore implements Core {
  readonly topics: Map<string, FakeMessage[]> = new Map();
  readonly consumers: Set<FakeConsumer> = new Set();
  /** Fails the next control operations with these. */
  readonly failures: CoreError[] = [];
  /** When set, control operations wait for it. */
  gate: Promise<void> | undefined;
  ledger = 4_611_686_018_427_387_904n;
  maxMessageSize = 5 * 1024 * 1024;
  #entry = 0n;

  createEngine(_serviceUrl: string, _options: object, sink: Sink): Engine {
    return new FakeEngine(this, sink);
  }

  publish(topic: string, message: Omit<FakeMessage, "ledger" | "entry">): FakeMessage {
    const stored: FakeMessage = {
      publishTime: Date.now(),
      producerName: "fake",
      ...message,
      ledger: this.ledger,
      entry: this.#entry++,
      topic,
    };
    const log = this.topics.get(topic) ?? [];
    this.topics.set(topic, log);
    log.push(stored);
    if (log.length > 10_000) log.splice(0, 5000);
    for (const consumer of this.consumers) {
      if (consumer.topic === topic) this.deliver(consumer, stored);
    }
    return stored;
  }

  deliver(consumer: FakeConsumer, message: FakeMessage): void {
    consumer.queue.push(message);
    if (consumer.queue.length === 1) queueMicrotask(() => consumer.sink.ready(consumer.handle));
  }
}

class FakeEngine implements Engine {
  readonly #core: FakeCore;
  readonly #sink: Sink;
  readonly #producers = new Map<number, { topic: string; sent: number }>();
  readonly #consumers = new Map<number, FakeConsumer>();
  #next = 1;
  #receipts: number[] = [];

  constructor(core: FakeCore, sink: Sink) {
    this.#core = core;
    this.#sink = sink;
    const event = { url: "ws://fake" };
    queueMicrotask(() => sink.state({ ...event, state: "connecting" }));
    setTimeout(() => sink.state({ ...event, state: "connected" }), 1);
  }

  #op(work: () => unknown): number {
    const op = this.#next++;
    const run = async (): Promise<void> => {
      await this.#core.gate;
      const failure = this.#core.failures.shift();
      if (failure) this.#sink.completed(op, failure, undefined);
      else this.#sink.completed(op, null, work());
    };
    queueMicrotask(() => void run());
    return op;
  }

  createProducer(options: { topic: string; name?: string }): number {
    return this.#op(() => {
      const handle = this.#next++;
      const topic = fullName(options.topic);
      this.#producers.set(handle, { topic, sent: 0 });
      if (!this.#core.topics.has(topic)) this.#core.topics.set(topic, []);
      return { handle, topic, name: options.name ?? `fake-${handle}` };
    });
  }

  subscribe(options: { topic: string; name?: string; initialPosition?: string }): number {
    return this.#op(() => {
      const handle = this.#next++;
      const topic = fullName(options.topic);
      const consumer = { sink: this.#sink, handle, topic, queue: [], delivered: 0, acknowledged: [] };
      this.#consumers.set(handle, consumer);
      this.#core.consumers.add(consumer);
      if (options.initialPosition === "earliest") {
        for (const message of this.#core.topics.get(topic) ?? []) this.#core.deliver(consumer, message);
      }
      return { handle, topic, name: options.name ?? `fake-${handle}` };
    });
  }

  send(producer: number, payload: Uint8Array, meta: CoreSendMeta | undefined): number {
    const state = this.#producers.get(producer);
    if (!state) throw { code: "AlreadyClosed", message: "no such producer", retryable: false } satisfies CoreError;
    if (payload.length > this.#core.maxMessageSize) {
      const message = `the payload has ${payload.length} bytes, the broker takes ${this.#core.maxMessageSize}`;
      throw { code: "MessageTooLarge", message, retryable: false } satisfies CoreError;
    }
    const token = state.sent++;
    const stored = this.#core.publish(state.topic, {
      payload: payload.slice(),
      ...(meta?.key === undefined ? {} : { key: meta.key }),
      ...(meta?.properties === undefined ? {} : { properties: meta.properties }),
      ...(meta?.eventTime === undefined ? {} : { eventTime: meta.eventTime }),
      flags: meta?.nullValue ? FLAG_NULL_VALUE : 0,
    });
    if (this.#receipts.length === 0) queueMicrotask(() => this.#flush());
    const [lo, hi] = [0xffff_ffffn, 32n];
    this.#receipts.push(
      producer,
      token,
      0,
      0,
      Number(stored.ledger & lo),
      Number(stored.ledger >> hi),
      Number(stored.entry & lo),
      Number(stored.entry >> hi),
      -1,
      -1,
      0,
    );
    return token;
  }

  #flush(): void {
    const packed = Uint32Array.from(this.#receipts);
    this.#receipts = [];
    if (packed.length % RECEIPT_WORDS !== 0) throw new Error("receipts are not whole");
    this.#sink.receipts(packed, []);
  }

  take(consumer: number, maxMessages: number, _maxBytes: number): Uint8Array | undefined {
    const queue = this.#consumers.get(consumer)?.queue;
    return queue?.length ? packBlock(queue.splice(0, maxMessages)) : undefined;
  }

  delivered(consumer: number, messages: number): void {
    const state = this.#consumers.get(consumer);
    if (state) state.delivered += messages;
  }

  acknowledge(consumer: number, ...id: [number, number, number, number, number, number, number, boolean]): void {
    const [ledgerLo, ledgerHi, entryLo, entryHi] = id;
    const ledger = (BigInt(ledgerHi) << 32n) | BigInt(ledgerLo);
    const entry = (BigInt(entryHi) << 32n) | BigInt(entryLo);
    this.#consumers.get(consumer)?.acknowledged.push(`${ledger}:${entry}`);
  }

  negativeAcknowledge(): void {}

  closeProducer(producer: number): number {
    return this.#op(() => {
      this.#producers.delete(producer);
    });
  }

  closeConsumer(consumer: number): number {
    return this.#op(() => this.#drop(consumer));
  }

  unsubscribe(): number {
    return this.#op(() => undefined);
  }

  #drop(handle: number): void {
    const consumer = this.#consumers.get(handle);
    if (consumer) this.#core.consumers.delete(consumer);
    this.#consumers.delete(handle);
  }

  partitions(): number {
    return this.#op(() => 0);
  }

  topics(namespace: string): number {
    return this.#op(() => [...this.#core.topics.keys()].filter((topic) => topic.includes(`//${namespace}/`)));
  }

  close(): number {
    return this.#op(() => {
      for (const handle of [...this.#consumers.keys()]) this.#drop(handle);
    });
  }

  free(): void {}
}

function fullName(topic: string): string {
  return topic.includes("://") ? topic : `persistent://public/default/${topic}`;
}

/** An instance of a core, with a lever to make it trap. */
export function instanceOf(core: Core): Instance & { trap(error: PulsarError): void } {
  const listeners = new Set<(error: PulsarError) => void>();
  return {
    core,
    trapped() {},
    onTrap(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    trap(error) {
      for (const listener of [...listeners]) listener(error);
    },
  };
}
