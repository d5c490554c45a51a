import { MessageId } from "../message-id.js";
import type { EngineMessage } from "./module.js";

const decoder = new TextDecoder();

/** A message that a {@link TestBroker} stores. */
export class StoredMessage {
  /** Its id: the one that `send` resolved with and that consumers see. */
  readonly id: MessageId;
  /** The full name of the topic; of a partitioned topic, the partition. */
  readonly topic: string;
  /** The payload. While {@link compression} or {@link encrypted} is set: as it was sent, a batch unopened. */
  readonly payload: Uint8Array;
  /** Whether it has a null value (a tombstone). */
  readonly isNull: boolean;
  /** The key; base64 when {@link keyIsBase64}. */
  readonly key: string | undefined;
  /** Whether the key was given as bytes. */
  readonly keyIsBase64: boolean;
  /** What chooses the consumer of a key-shared subscription in place of the key. */
  readonly orderingKey: Uint8Array | undefined;
  /** Names and values. */
  readonly properties: Readonly<Record<string, string>>;
  /** The name of the producer that sent it. */
  readonly producerName: string;
  /** Its number at its producer. */
  readonly sequenceId: bigint;
  /** When it was sent, by the client's clock. */
  readonly publishTime: Date;
  /** When it was stored, by the broker's clock. */
  readonly storedTime: Date;
  /** The application's own time of the event. */
  readonly eventTime: Date | undefined;
  /** It is not delivered earlier, by the broker's clock. */
  readonly deliverAt: Date | undefined;
  /** The codec of a payload that is packed: `LZ4`, `ZLIB`, `ZSTD` or `SNAPPY`. */
  readonly compression: string | undefined;
  /** Whether the payload is encrypted. */
  readonly encrypted: boolean;

  /** @internal */
  constructor(from: EngineMessage) {
    const { partition, batchIndex, batchSize } = from;
    this.id = MessageId.of(from.ledger, from.entry, { partition, batchIndex, batchSize });
    this.topic = from.topic;
    this.payload = from.payload;
    this.isNull = from.nullValue;
    this.key = from.key;
    this.keyIsBase64 = from.keyIsBase64;
    this.orderingKey = from.orderingKey;
    const properties: [string, string][] = [];
    for (let at = 0; at + 1 < from.properties.length; at += 2) {
      properties.push([from.properties[at] ?? "", from.properties[at + 1] ?? ""]);
    }
    this.properties = Object.fromEntries(properties);
    this.producerName = from.producerName;
    this.sequenceId = from.sequenceId;
    this.publishTime = new Date(from.publishTime);
    this.storedTime = new Date(from.storedTime);
    this.eventTime = from.eventTime ? new Date(from.eventTime) : undefined;
    this.deliverAt = from.deliverAt ? new Date(from.deliverAt) : undefined;
    this.compression = from.compression;
    this.encrypted = from.encrypted;
  }

  /** The payload as text (UTF-8). */
  text(): string {
    return decoder.decode(this.payload);
  }

  /**
   * The payload as JSON.
   *
   * @throws SyntaxError when it is not JSON.
   */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}
