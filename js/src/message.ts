import { ABSENT, BLOCK_HEADER, FLAG_KEY_BASE64, FLAG_NULL_VALUE, RECORD, RECORD_SIZE } from "./core.js";
import { PulsarError } from "./errors.js";
import { MessageId } from "./message-id.js";

const decoder = new TextDecoder();
/** The pairs of a record, in the order in which a copy lays them out. */
const PAIRS = [
  RECORD.payload,
  RECORD.key,
  RECORD.orderingKey,
  RECORD.producerName,
  RECORD.replicatedFrom,
  RECORD.properties,
  RECORD.topic,
  RECORD.schemaVersion,
] as const;

/** Several messages that crossed the boundary together. @internal */
export class Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly count: number;
  #topic: string | undefined;
  #topicAt = -1;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.count = this.view.getUint32(0, true);
    if (BLOCK_HEADER + this.count * RECORD_SIZE > bytes.length) {
      throw new PulsarError("Fatal", `a packed block of ${bytes.length} bytes cannot hold ${this.count} messages`);
    }
  }

  message(index: number): Message {
    return new Message(this, BLOCK_HEADER + index * RECORD_SIZE);
  }

  slice(pair: number): Uint8Array | undefined {
    const length = this.view.getUint32(pair + 4, true);
    if (length === ABSENT) return undefined;
    const offset = this.view.getUint32(pair, true);
    return this.bytes.subarray(offset, offset + length);
  }

  string(pair: number): string | undefined {
    const bytes = this.slice(pair);
    return bytes && decoder.decode(bytes);
  }

  /** The messages of a block mostly share one topic: decode it once. */
  topic(pair: number): string {
    const at = this.view.getUint32(pair, true);
    if (at !== this.#topicAt || this.#topic === undefined) {
      this.#topic = this.string(pair) ?? "";
      this.#topicAt = at;
    }
    return this.#topic;
  }
}

/**
 * A received message.
 *
 * A plain object over bytes that belong to JavaScript: it stays valid for as long as it is held, after the consumer and
 * the client are closed too. Messages that arrived together share one block of bytes; to keep a small one for long
 * without the others, keep {@link Message.copy}.
 */
export class Message {
  /** @internal */ readonly block: Block;
  /** @internal */ readonly at: number;
  #id: MessageId | undefined;
  #properties: Readonly<Record<string, string>> | undefined;

  /** @internal */
  constructor(block: Block, at: number) {
    this.block = block;
    this.at = at;
  }

  /** Where the message lies. */
  get id(): MessageId {
    if (!this.#id) {
      const { view } = this.block;
      const { at } = this;
      this.#id = new MessageId(
        view.getUint32(at + RECORD.ledger, true),
        view.getUint32(at + RECORD.ledger + 4, true),
        view.getUint32(at + RECORD.entry, true),
        view.getUint32(at + RECORD.entry + 4, true),
        view.getInt32(at + RECORD.partition, true),
        view.getInt32(at + RECORD.batchIndex, true),
        view.getUint32(at + RECORD.batchSize, true),
      );
    }
    return this.#id;
  }

  /** The payload. A part of the shared block: copy it before you change it. */
  get data(): Uint8Array {
    return this.block.slice(this.at + RECORD.payload) ?? new Uint8Array(0);
  }

  /** The payload's length in bytes. */
  get size(): number {
    const length = this.block.view.getUint32(this.at + RECORD.payload + 4, true);
    return length === ABSENT ? 0 : length;
  }

  /** The payload as UTF-8 text; bytes that are not UTF-8 become U+FFFD. */
  text(): string {
    return decoder.decode(this.data);
  }

  /**
   * The payload as JSON.
   *
   * @throws SyntaxError when it is not JSON.
   */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }

  /** Whether the message has a null value: a tombstone that compaction removes its key by. */
  get isNull(): boolean {
    return (this.block.view.getUint32(this.at + RECORD.flags, true) & FLAG_NULL_VALUE) !== 0;
  }

  /** The key, if the message has one. A key that was sent as bytes is given in base64, as Java gives it. */
  get key(): string | undefined {
    return this.block.string(this.at + RECORD.key);
  }

  /** The key's bytes, if the message has one. */
  get keyBytes(): Uint8Array | undefined {
    const bytes = this.block.slice(this.at + RECORD.key);
    if (!bytes || (this.block.view.getUint32(this.at + RECORD.flags, true) & FLAG_KEY_BASE64) === 0) return bytes;
    return Uint8Array.from(atob(decoder.decode(bytes)), (char) => char.charCodeAt(0));
  }

  /** The ordering key, if the message has one. */
  get orderingKey(): Uint8Array | undefined {
    return this.block.slice(this.at + RECORD.orderingKey);
  }

  /** The properties; of a name given twice, the last. */
  get properties(): Readonly<Record<string, string>> {
    this.#properties ??= this.#readProperties();
    return this.#properties;
  }

  #readProperties(): Readonly<Record<string, string>> {
    const bytes = this.block.slice(this.at + RECORD.properties);
    if (!bytes || bytes.length < 4) return {};
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 4;
    const next = (): string => {
      const length = view.getUint32(at, true);
      at += 4 + length;
      return decoder.decode(bytes.subarray(at - length, at));
    };
    const pairs: [string, string][] = [];
    for (let left = view.getUint32(0, true); left > 0; left--) pairs.push([next(), next()]);
    return Object.fromEntries(pairs);
  }

  /** When the producer published it, in milliseconds since the epoch. */
  get publishTime(): number {
    return this.block.view.getFloat64(this.at + RECORD.publishTime, true);
  }

  /** The event time that the producer gave, in milliseconds since the epoch. */
  get eventTime(): number | undefined {
    return this.block.view.getFloat64(this.at + RECORD.eventTime, true) || undefined;
  }

  /** When the broker stored it, where the broker tells it. */
  get brokerPublishTime(): number | undefined {
    return this.block.view.getFloat64(this.at + RECORD.brokerPublishTime, true) || undefined;
  }

  /** Its number in the topic, where the broker tells it. */
  get index(): bigint | undefined {
    const index = this.block.view.getBigUint64(this.at + RECORD.index, true);
    return index === 0xffff_ffff_ffff_ffffn ? undefined : index;
  }

  /** The sequence id that its producer gave it. */
  get sequenceId(): bigint {
    return this.block.view.getBigUint64(this.at + RECORD.sequenceId, true);
  }

  /** How often it was delivered before. */
  get redeliveryCount(): number {
    return this.block.view.getUint32(this.at + RECORD.redeliveryCount, true);
  }

  /** The name of the producer that published it. */
  get producerName(): string {
    return this.block.string(this.at + RECORD.producerName) ?? "";
  }

  /** The topic, with its partition. */
  get topic(): string {
    return this.block.topic(this.at + RECORD.topic);
  }

  /** The cluster that it was replicated from, if it was. */
  get replicatedFrom(): string | undefined {
    return this.block.string(this.at + RECORD.replicatedFrom);
  }

  /** The version of the schema that it was written with, if any. */
  get schemaVersion(): Uint8Array | undefined {
    return this.block.slice(this.at + RECORD.schemaVersion);
  }

  /** The same message with bytes of its own, so that the block it came in can be freed. */
  copy(): Message {
    const parts = PAIRS.map((pair) => this.block.slice(this.at + pair));
    const head = BLOCK_HEADER + RECORD_SIZE;
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + (part?.length ?? 0), head));
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 1, true);
    bytes.set(this.block.bytes.subarray(this.at, this.at + RECORD_SIZE), BLOCK_HEADER);
    let offset = head;
    for (const [index, part] of parts.entries()) {
      const pair = PAIRS[index];
      if (!part || pair === undefined) continue;
      view.setUint32(BLOCK_HEADER + pair, offset, true);
      bytes.set(part, offset);
      offset += part.length;
    }
    return new Block(bytes).message(0);
  }
}
