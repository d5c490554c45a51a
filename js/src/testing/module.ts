/**
 * The broker's own WebAssembly module, and what it exports. `broker/src/wasm.rs` is the other side; the two change
 * together. Every call that takes `mono` and `wall` is told the host's time: milliseconds of its monotonic clock, and
 * since the epoch. The module calls nothing but its panic handler: what is to be written is polled.
 *
 * @module
 */

import start from "../../wasm/testing.js";
import packed from "../../wasm/testing-inline.js";
import { PulsarError } from "../errors.js";
import { loadError } from "../loader.js";
import { unpack } from "../packed.js";

/** One broker inside the module. @internal */
export interface Engine {
  /** The number of a new connection; 0 when nobody is let in. */
  connect(mono: number, wall: number): number;
  received(conn: number, bytes: Uint8Array, mono: number, wall: number): void;
  closed(conn: number, mono: number, wall: number): void;
  pollTransmit(mono: number, wall: number): { conn: number; bytes: Uint8Array<ArrayBuffer> } | undefined;
  pollDisconnect(): { conn: number; reason: string } | undefined;
  nextDeadline(): number | undefined;
  timeout(mono: number, wall: number): void;
  /** Milliseconds that the clocks can still be put forward. */
  advanceLeft(): number;
  advance(by: number, mono: number, wall: number): void;
  wall(mono: number, wall: number): number;
  /** The error is Pulsar's number, negative for no answer. Throws a CoreError, as do those below. */
  failSends(error: number, message: string, topic: string | undefined, times: number): void;
  connections(): EngineConnection[];
  disconnect(conn: number, mono: number, wall: number): boolean;
  setReachable(reachable: boolean): void;
  createTopic(topic: string, partitions: number, mono: number, wall: number): void;
  deleteTopic(topic: string, mono: number, wall: number): void;
  setMessageTtl(topic: string, seconds: number, mono: number, wall: number): void;
  topics(): string[];
  partitions(topic: string): number;
  messages(topic: string): EngineMessage[];
  subscriptions(topic: string): EngineSubscription[];
  free(): void;
}

/** @internal */
export interface EngineConnection {
  id: number;
  producers: { topic: string; name: string }[];
  consumers: { topic: string; subscription: string; name: string }[];
}

/** @internal */
export interface EngineSubscription {
  name: string;
  kind: string;
  durable: boolean;
  backlog: number;
  unacked: number;
  delayed: number;
  consumers: string[];
}

/** @internal */
export interface EngineMessage {
  topic: string;
  ledger: bigint;
  entry: bigint;
  partition: number;
  batchIndex: number;
  batchSize: number;
  payload: Uint8Array;
  nullValue: boolean;
  key: string | undefined;
  keyIsBase64: boolean;
  orderingKey: Uint8Array | undefined;
  /** Names and values in turn. */
  properties: string[];
  producerName: string;
  sequenceId: bigint;
  publishTime: number;
  storedTime: number;
  eventTime: number;
  deliverAt: number;
  compression: string | undefined;
  encrypted: boolean;
}

/** What a broker is made with, every value checked. @internal */
export interface EngineOptions {
  maxStoredBytes: number;
  maxMessageSize: number;
  autoCreateTopics: boolean;
  defaultPartitions: number;
  deduplication: boolean;
}

/** A living instance of the module; the brokers of a program share it. @internal */
export interface Instance {
  /** How many brokers live in it. */
  users: number;
  /** Makes a broker. */
  open(options: EngineOptions): Engine;
  /** Bytes of the module's memory, which grows and never shrinks. */
  readonly memory: number;
  /** Why the instance must not be called any more, if so. */
  readonly dead: PulsarError | undefined;
  /** Reports what a call into the module threw; gives the error to throw in its place. */
  failed(error: unknown): unknown;
}

/** An instance without brokers is kept for the next one unless its memory is larger. */
const KEPT_BYTES = 16 * 1024 * 1024;

let compiled: Promise<WebAssembly.Module> | undefined;
let shared: Promise<Instance> | undefined;

/** An instance to make one broker in; to be given back. @internal */
export async function acquire(): Promise<Instance> {
  let started = shared;
  try {
    if (!started || (await started).dead) {
      compiled ??= unpack(packed);
      started = instantiate(compiled);
      shared = started;
    }
    const instance = await started;
    instance.users += 1;
    return instance;
  } catch (cause) {
    // The next call tries again.
    compiled = undefined;
    if (shared === started) shared = undefined;
    throw loadError(cause);
  }
}

/** Gives an instance back: with the last broker its memory goes, if it is large. @internal */
export async function release(instance: Instance): Promise<void> {
  instance.users -= 1;
  if (instance.users === 0 && instance.memory > KEPT_BYTES && (await shared) === instance) shared = undefined;
}

async function instantiate(module: Promise<WebAssembly.Module>): Promise<Instance> {
  let memory: WebAssembly.Memory | undefined;
  let panic: string | undefined;
  let dead: PulsarError | undefined;
  const glue = await start(await module, {
    guard(exports: WebAssembly.Exports): WebAssembly.Exports {
      memory = exports.memory as WebAssembly.Memory;
      return exports;
    },
  });
  glue.setPanicHandler((message: string) => {
    panic = message;
  });
  return {
    users: 0,
    open: ({ maxStoredBytes, maxMessageSize, autoCreateTopics, defaultPartitions, deduplication }) =>
      new glue.TestEngine(maxStoredBytes, maxMessageSize, autoCreateTopics, defaultPartitions, deduplication) as Engine,
    get memory() {
      return memory?.buffer.byteLength ?? 0;
    },
    get dead() {
      return dead;
    },
    failed(error) {
      if (!(error instanceof WebAssembly.RuntimeError)) return error;
      dead ??= new PulsarError("Fatal", `the test broker has failed, please report it: ${panic ?? error.message}`, {
        cause: error,
      });
      return dead;
    },
  };
}
