/**
 * The boundary between TypeScript and the compiled core: what the module exports, what it calls back, and how
 * packed blocks are laid out. `src/wasm/` is the other side of it; the two change together.
 *
 * Rules of the boundary:
 * - Handles, operation ids and tokens are integers. The promises are TypeScript's, never the module's.
 * - The module never calls the sink from inside a call that TypeScript makes; it calls from its driver's task.
 * - The sink never calls back into the module before it returns; it settles promises and queues microtasks.
 * - No view of the module's memory crosses: what arrives here is copied and stays valid.
 *
 * @module
 */

/** An error as the core tells it. */
export interface CoreError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** A change in one connection's life. */
export interface CoreState {
  /** Where it goes. */
  readonly url: string;
  readonly state: "connecting" | "connected" | "disconnected";
  readonly error?: CoreError | undefined;
}

/** What the module calls. */
export interface Sink {
  /** A control operation has ended. */
  completed(op: number, error: CoreError | null, value: unknown): void;
  /**
   * Sends have ended: records of {@link RECEIPT_WORDS} words, mostly in the order of the sends. A record's status is 0
   * for success, else 1 + an index into `errors`.
   */
  receipts(packed: Uint32Array, errors: readonly CoreError[]): void;
  /** Messages wait to be taken by a consumer. */
  ready(consumer: number): void;
  /** What was taken but not yet delivered to the application comes again: forget it. */
  reset(consumer: number): void;
  /** A consumer or producer was ended for good by the broker or by an error. */
  ended(kind: "producer" | "consumer", handle: number, error: CoreError): void;
  /** A connection's state has changed. */
  state(event: CoreState): void;
}

/** The result of opening a producer. */
export interface CoreProducer {
  readonly handle: number;
  readonly name: string;
  readonly topic: string;
}

/** The result of opening a consumer. */
export interface CoreConsumer {
  readonly handle: number;
  readonly name: string;
  readonly topic: string;
}

/** What a send may carry beside its payload. */
export interface CoreSendMeta {
  key?: string | undefined;
  keyBytes?: Uint8Array | undefined;
  orderingKey?: Uint8Array | undefined;
  /** Names and values in turn. */
  properties?: readonly string[] | undefined;
  eventTime?: number | undefined;
  sequenceId?: bigint | undefined;
  nullValue?: boolean | undefined;
}

/** One client inside the module. */
export interface Engine {
  createProducer(options: object): number;
  subscribe(options: object): number;
  /** Returns the token of the send: the n-th of its producer, from 0. */
  send(producer: number, payload: Uint8Array, meta: CoreSendMeta | undefined): number;
  /**
   * The next messages as a packed block, `undefined` when none wait. Throws the error of a message that cannot be read,
   * in its turn: the next call goes on behind it.
   */
  take(consumer: number, maxMessages: number, maxBytes: number): Uint8Array | undefined;
  delivered(consumer: number, messages: number): void;
  acknowledge(
    consumer: number,
    ledgerLo: number,
    ledgerHi: number,
    entryLo: number,
    entryHi: number,
    partition: number,
    batchIndex: number,
    batchSize: number,
    cumulative: boolean,
  ): void;
  negativeAcknowledge(
    consumer: number,
    ledgerLo: number,
    ledgerHi: number,
    entryLo: number,
    entryHi: number,
    partition: number,
    batchIndex: number,
    batchSize: number,
  ): void;
  closeProducer(producer: number): number;
  closeConsumer(consumer: number): number;
  unsubscribe(consumer: number): number;
  partitions(topic: string): number;
  topics(namespace: string): number;
  close(): number;
  free(): void;
}

/** One instance of the module. */
export interface Core {
  /** Throws a {@link CoreError} when the URL or an option is bad. */
  createEngine(serviceUrl: string, options: object, sink: Sink): Engine;
}

/** Words of one receipt: producer, token (2), status, ledger (2), entry (2), partition, batch index, batch size. */
export const RECEIPT_WORDS = 11;

/** Bytes before the first record of a packed block: u32 count, u32 reserved. */
export const BLOCK_HEADER = 8;
/** Bytes of one record of a packed block. */
export const RECORD_SIZE = 144;
/** Length that says that a field is absent. */
export const ABSENT = 0xffff_ffff;

/** Offsets in a record, little endian. A pair is offset from the block's start and length, both u32. */
export const RECORD = {
  ledger: 0, // u64
  entry: 8, // u64
  partition: 16, // i32
  batchIndex: 20, // i32
  batchSize: 24, // u32
  redeliveryCount: 28, // u32
  publishTime: 32, // f64, ms since the epoch
  eventTime: 40, // f64, 0 for none
  brokerPublishTime: 48, // f64, 0 for none
  index: 56, // u64, all ones for none
  sequenceId: 64, // u64
  payload: 72, // pair
  key: 80, // pair
  orderingKey: 88, // pair
  producerName: 96, // pair
  replicatedFrom: 104, // pair
  properties: 112, // pair: u32 count, then u32-length-prefixed name and value in turn
  topic: 120, // pair, shared by the messages of a block
  schemaVersion: 128, // pair
  flags: 136, // u32
  // 140: reserved
} as const;

/** The message has a null value (a tombstone). */
export const FLAG_NULL_VALUE = 1;
/** The key was sent as bytes, base64 on the wire. */
export const FLAG_KEY_BASE64 = 2;
