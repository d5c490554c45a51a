import type { ClientBase } from "./client.js";
import type { Consumer } from "./consumer.js";
import type { PulsarError } from "./errors.js";

/** Options of a client. */
export interface ClientOptions {
  /**
   * Where the cluster is reached: `ws://host:port/path` or `wss://…`, the URL of a pulsewire gateway. Everything the
   * client does goes through it.
   */
  serviceUrl: string;
  /** How long an operation may take, retries included, in milliseconds. Default 30 000. */
  operationTimeout?: number;
  /** How long a connection may take to open, in milliseconds. Default 10 000. */
  connectionTimeout?: number;
  /** How often a silent connection is asked whether it lives, in milliseconds. Default 30 000. */
  keepAliveInterval?: number;
  /** The first delay before a lost connection is made again, in milliseconds. Default 100. */
  initialBackoff?: number;
  /** The longest such delay, in milliseconds. Default 60 000. */
  maxBackoff?: number;
  /**
   * How many bytes of messages may wait for their receipts, in all producers together, before `send` fails with
   * `QueueFull`. Default 64 MiB.
   */
  memoryLimit?: number;
  /** The advertised listener to ask the brokers for. */
  listenerName?: string;
}

/** Options of {@link ClientBase.createProducer}. */
export interface ProducerOptions {
  /** The topic: `orders` for `persistent://public/default/orders`, or a full name. */
  topic: string;
  /** The producer's name, unique in the topic. The broker gives one when it is left out. */
  name?: string;
  /** How long a send may take, in milliseconds; 0 for no limit. Default 30 000. */
  sendTimeout?: number;
  /** The sequence id before the first message's, which gets this + 1. Default: the broker's last one. */
  initialSequenceId?: bigint;
  /** Properties of the producer, shown in the topic's stats. */
  properties?: Readonly<Record<string, string>>;
}

/** What a message carries beside its payload. */
export interface SendOptions {
  /** The key: it chooses the partition and, in a key-shared subscription, the consumer. */
  key?: string;
  /** The key as bytes, in place of `key`. */
  keyBytes?: Uint8Array;
  /** Chooses the consumer of a key-shared subscription in place of the key. */
  orderingKey?: Uint8Array;
  /** Names and values to send along. */
  properties?: Readonly<Record<string, string>>;
  /** The application's own time of the event, in milliseconds since the epoch or as a `Date`. */
  eventTime?: number | Date;
  /** The sequence id, in place of the next one. */
  sequenceId?: bigint;
  /** Sends a null value (a tombstone) whatever the payload. */
  nullValue?: boolean;
  /** Stops waiting for the receipt. The message may be published all the same: it cannot be taken back. */
  signal?: AbortSignal;
}

/** How the messages of a subscription are shared between its consumers. */
export type SubscriptionType = "exclusive" | "shared" | "failover" | "keyShared";

/** Options of {@link ClientBase.subscribe}. */
export interface SubscribeOptions {
  /** The topic: `orders` for `persistent://public/default/orders`, or a full name. */
  topic: string;
  /** The subscription's name. */
  subscription: string;
  /** Default `exclusive`. */
  type?: SubscriptionType;
  /** Where a new subscription begins. Default `latest`. */
  initialPosition?: "earliest" | "latest";
  /** How many messages may wait in the client. Default 1000. */
  receiverQueueSize?: number;
  /** The consumer's name; one is made up when it is left out. */
  name?: string;
  /**
   * After what time a negatively acknowledged message is asked for again, in milliseconds; it may be 256 ms more.
   * Default 60 000.
   */
  negativeAckRedeliveryDelay?: number;
  /** Who is served first in a shared subscription: 0, the default, before 1 and so on. */
  priorityLevel?: number;
  /** Properties of the consumer, shown in the topic's stats. */
  properties?: Readonly<Record<string, string>>;
}

/** A wait that can be given up. */
export interface WaitOptions {
  /** Gives the wait up: the promise rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** Options of {@link Consumer.receive}. */
export interface ReceiveOptions extends WaitOptions {
  /** Milliseconds after which the promise rejects with a {@link PulsarError} of code `Timeout`. */
  timeout?: number;
}
