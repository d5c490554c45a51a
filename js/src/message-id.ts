import { invalidMessageId } from "./errors.js";

const MASK = 0xffff_ffffn;
const ALL_ONES = 0xffff_ffff;

/**
 * Where a message lies: ledger, entry, partition and, for a message of a batch, its index.
 *
 * Ledger and entry are 64-bit; nothing is lost on the way through JavaScript numbers. An id prints as Java prints it,
 * `ledger:entry:partition` or `ledger:entry:partition:batchIndex`, and {@link MessageId.serialize} gives the same bytes
 * as the other official clients, so that ids can be stored and handed between them.
 */
export class MessageId {
  /** The first message that a topic still has. */
  static readonly earliest: MessageId = new MessageId(ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES, -1, -1, 0);
  /** After the last message that a topic has. */
  static readonly latest: MessageId = new MessageId(ALL_ONES, 0x7fff_ffff, ALL_ONES, 0x7fff_ffff, -1, -1, 0);

  /** @internal */ readonly ledgerLo: number;
  /** @internal */ readonly ledgerHi: number;
  /** @internal */ readonly entryLo: number;
  /** @internal */ readonly entryHi: number;
  /** Index of the partition, -1 for a topic without partitions. */
  readonly partition: number;
  /** Index in its batch, -1 for a message that was sent alone. */
  readonly batchIndex: number;
  /** Number of messages in its batch, 0 when unknown or sent alone. */
  readonly batchSize: number;

  /** @internal */
  constructor(
    ledgerLo: number,
    ledgerHi: number,
    entryLo: number,
    entryHi: number,
    partition: number,
    batchIndex: number,
    batchSize: number,
  ) {
    this.ledgerLo = ledgerLo >>> 0;
    this.ledgerHi = ledgerHi >>> 0;
    this.entryLo = entryLo >>> 0;
    this.entryHi = entryHi >>> 0;
    this.partition = partition;
    this.batchIndex = batchIndex;
    this.batchSize = batchSize;
  }

  /** Makes an id from its parts. */
  static of(
    ledgerId: bigint,
    entryId: bigint,
    options?: { partition?: number; batchIndex?: number; batchSize?: number },
  ): MessageId {
    const ledger = BigInt.asUintN(64, ledgerId);
    const entry = BigInt.asUintN(64, entryId);
    return new MessageId(
      Number(ledger & MASK),
      Number(ledger >> 32n),
      Number(entry & MASK),
      Number(entry >> 32n),
      options?.partition ?? -1,
      options?.batchIndex ?? -1,
      options?.batchSize ?? 0,
    );
  }

  /**
   * Reads `ledger:entry`, `ledger:entry:partition` or `ledger:entry:partition:batchIndex`.
   *
   * @throws PulsarError with code `InvalidMessageId` when the text is not an id.
   */
  static parse(text: string): MessageId {
    const parts = text.split(":");
    if (parts.length < 2 || parts.length > 4 || !parts.every((part) => /^-?\d{1,20}$/.test(part))) {
      throw invalidMessageId(
        `'${text}' is not a message id; expected ledger:entry[:partition[:batchIndex]] in decimal`,
      );
    }
    const [ledger, entry, partition, batchIndex] = parts as [string, string, string?, string?];
    return MessageId.of(long(ledger, text), long(entry, text), {
      partition: partition === undefined ? -1 : int(partition, text),
      batchIndex: batchIndex === undefined ? -1 : int(batchIndex, text),
    });
  }

  /**
   * Reads the bytes that {@link MessageId.serialize} of this or of another official client made.
   *
   * @throws PulsarError with code `InvalidMessageId` when they are not an id.
   */
  static deserialize(bytes: Uint8Array): MessageId {
    const reader = new ProtoReader(bytes);
    let ledger: bigint | undefined;
    let entry: bigint | undefined;
    let partition = -1;
    let batchIndex = -1;
    let batchSize = 0;
    while (!reader.done) {
      const tag = Number(reader.varint() & MASK);
      if (tag === 0x08) ledger = reader.varint();
      else if (tag === 0x10) entry = reader.varint();
      else if (tag === 0x18) partition = Number(BigInt.asIntN(32, reader.varint()));
      else if (tag === 0x20) batchIndex = Number(BigInt.asIntN(32, reader.varint()));
      else if (tag === 0x30) batchSize = Number(BigInt.asIntN(32, reader.varint()));
      else reader.skip(tag);
    }
    if (ledger === undefined || entry === undefined) {
      throw invalidMessageId("the bytes are not a message id: ledger or entry is missing");
    }
    return MessageId.of(ledger, entry, { partition, batchIndex, batchSize });
  }

  /** The ledger, signed as in Java: -1 for {@link MessageId.earliest}. */
  get ledgerId(): bigint {
    return BigInt.asIntN(64, (BigInt(this.ledgerHi) << 32n) | BigInt(this.ledgerLo));
  }

  /** The entry in its ledger, signed as in Java: -1 for {@link MessageId.earliest}. */
  get entryId(): bigint {
    return BigInt.asIntN(64, (BigInt(this.entryHi) << 32n) | BigInt(this.entryLo));
  }

  /** The bytes of the id as the other official clients store it. */
  serialize(): Uint8Array {
    const out: number[] = [];
    field(out, 1, BigInt.asUintN(64, this.ledgerId));
    field(out, 2, BigInt.asUintN(64, this.entryId));
    if (this.partition >= 0) field(out, 3, BigInt(this.partition));
    if (this.batchIndex >= 0) field(out, 4, BigInt(this.batchIndex));
    if (this.batchSize > 0) field(out, 6, BigInt(this.batchSize));
    return Uint8Array.from(out);
  }

  /** Whether the other id names the same message. */
  equals(other: MessageId): boolean {
    return this.compareTo(other) === 0;
  }

  /** Negative, zero or positive as this id lies before, at or after the other; for use with `sort`. */
  compareTo(other: MessageId): number {
    const ledger = compare(this.ledgerId, other.ledgerId);
    if (ledger !== 0) return ledger;
    const entry = compare(this.entryId, other.entryId);
    if (entry !== 0) return entry;
    return this.partition - other.partition || this.batchIndex - other.batchIndex;
  }

  /** `ledger:entry:partition`, and `:batchIndex` for a message of a batch. */
  toString(): string {
    const id = `${this.ledgerId}:${this.entryId}:${this.partition}`;
    return this.batchIndex >= 0 ? `${id}:${this.batchIndex}` : id;
  }

  /** As {@link MessageId.toString}. */
  toJSON(): string {
    return this.toString();
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function long(text: string, whole: string): bigint {
  const value = BigInt(text);
  if (BigInt.asIntN(64, value) !== value && BigInt.asUintN(64, value) !== value) {
    throw invalidMessageId(`'${whole}' is not a message id: ${text} does not fit in 64 bits`);
  }
  return value;
}

function int(text: string, whole: string): number {
  const value = Number(text);
  if (value < -1 || value > 0x7fff_ffff) {
    throw invalidMessageId(`'${whole}' is not a message id: ${text} does not fit in 31 bits`);
  }
  return value;
}

function field(out: number[], number: number, value: bigint): void {
  out.push(number << 3);
  let rest = value;
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

/** As much of protobuf as a message id needs. */
class ProtoReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw invalidMessageId("the bytes are not a message id: they end too early");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw invalidMessageId("the bytes are not a message id: a number is too long");
  }

  skip(tag: number): void {
    const wire = tag & 7;
    if (wire === 0) this.varint();
    else if (wire === 1) this.#forward(8);
    else if (wire === 2) this.#forward(Number(this.varint()));
    else if (wire === 5) this.#forward(4);
    else throw invalidMessageId(`the bytes are not a message id: wire type ${wire}`);
  }

  #forward(count: number): void {
    this.#at += count;
    if (this.#at > this.#bytes.length) {
      throw invalidMessageId("the bytes are not a message id: they end too early");
    }
  }
}
