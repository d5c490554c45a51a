import { alreadyClosed, invalidArgument, PulsarError, toPulsarError } from "../errors.js";
import { Client } from "../index.js";
import type { ClientOptions, SubscriptionType } from "../options.js";
import { acquire, type Engine, type Instance, release } from "./module.js";
import { later, leave, listen, type Server } from "./network.js";
import { engineOptions, fields, isWhole, type TestBrokerOptions } from "./options.js";
import type { MemorySocket } from "./socket.js";
import { StoredMessage } from "./stored-message.js";

/** Pulsar's numbers of what a broker may answer a send with. */
const SEND_ERRORS = {
  UnknownBrokerError: 0,
  MetadataError: 1,
  PersistenceError: 2,
  AuthorizationError: 4,
  ServiceNotReady: 6,
  ProducerBlockedQuotaExceeded: 8,
  ChecksumError: 9,
  TopicNotFound: 11,
  TooManyRequests: 14,
  TopicTerminated: 15,
  NotAllowed: 22,
  ProducerFenced: 25,
  Timeout: -1,
} as const;

/**
 * How a send fails. What the client makes of it is what it makes of a real broker's answer:
 * - `NotAllowed`: that send rejects, the producer goes on.
 * - `TopicTerminated`: all pending sends reject, the producer has ended.
 * - `Timeout`: no answer comes at all; the send rejects when its `sendTimeout` is over.
 * - All others pass with time, as Pulsar sees it: the client connects anew and sends again, until `sendTimeout`.
 *   `send` resolves unless it keeps failing.
 */
export type SendError = keyof typeof SEND_ERRORS;

/** Options of {@link TestBroker.failNextSend}. */
export interface FailNextSendOptions {
  /** Default `NotAllowed`. */
  error?: SendError;
  /** What the error says. */
  message?: string;
  /** Only sends to this topic. Default: to any topic. */
  topic?: string;
  /** How many sends fail, up to a million. Default 1. */
  times?: number;
}

/** Options of {@link TestBroker.createTopic}. */
export interface CreateTopicOptions {
  /**
   * With how many partitions, up to 1000. Default 0: without.
   *
   * It is for code that asks for the number of partitions (`client.partitions`), or that uses them by their names,
   * `orders-partition-0` and so on. This package's client cannot open a topic with partitions as a whole yet:
   * `createProducer` and `subscribe` reject with code `NotSupported`, here as at a real cluster.
   */
  partitions?: number;
}

/** A connection of a client. */
export interface TestConnection {
  /** Counted from 1; never used again. */
  readonly id: number;
  /** The producers on it. */
  readonly producers: readonly { readonly topic: string; readonly name: string }[];
  /** The consumers on it. */
  readonly consumers: readonly { readonly topic: string; readonly subscription: string; readonly name: string }[];
}

/** A subscription of a topic; of a partitioned topic, over all partitions. */
export interface TestSubscription {
  readonly name: string;
  /** `undefined` while nobody has consumed by it. */
  readonly type: SubscriptionType | undefined;
  /** Whether it outlives its consumers. */
  readonly durable: boolean;
  /**
   * What is not acknowledged. Messages that were sent as one batch count as one, as in Pulsar's `msgBacklog`. A client
   * sends acknowledgements in groups, so a message may still count right after `await consumer.acknowledge(message)`:
   * see {@link TestBroker.subscriptions}.
   */
  readonly backlog: number;
  /** Messages that consumers hold and have not acknowledged. */
  readonly unacked: number;
  /** What waits for its time. */
  readonly delayed: number;
  /** Names of its consumers. */
  readonly consumers: readonly string[];
}

const TYPES: Readonly<Record<string, SubscriptionType>> = {
  Exclusive: "exclusive",
  Shared: "shared",
  Failover: "failover",
  Key_Shared: "keyShared",
};

/** A hundred years. */
const MAX_ADVANCE = 100 * 365 * 24 * 3600 * 1000;
/** `setTimeout` takes no more than 24 days. */
const LONGEST_TIMER = 24 * 3600 * 1000;
/** Given by `start` alone: what the constructor is called with besides is the module's. */
const STARTED = Symbol("TestBroker.start");
/** How long clients may take to close with their broker. */
const CLOSING = 1000;
/** The host's own timers, whatever a test puts in their place later. */
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis;

/**
 * A Pulsar broker inside the program, for tests: no server, no port, nothing to install. It is pulsewire's embedded
 * broker, compiled to WebAssembly, and clients speak Pulsar's protocol to it as over a socket.
 *
 * **Time.** The broker's clock is the host's, put forward by {@link advance}: TTL, retention and the delay of failover
 * run by it. Clients keep the host's time: their own timers (`sendTimeout`, `operationTimeout`,
 * `negativeAckRedeliveryDelay`, backoff) do not move with `advance`; give them short times. Or put a test library's fake
 * timers in the place of `setTimeout`, `Date` and `performance` before the broker starts: both sides follow them.
 *
 * **The end.** `stop` closes it with its clients. In Node a broker that nobody stopped keeps no program running, nor do
 * its clients, unless something of theirs is awaited: an operation, a receipt, a message, a connection.
 *
 * @example
 * ```ts
 * import { TestBroker } from "pulsewire/testing";
 *
 * await using broker = await TestBroker.start();
 * const client = broker.client(); // or: new Client({ serviceUrl: broker.serviceUrl })
 * const producer = await client.createProducer({ topic: "orders" });
 * await producer.send("one coffee");
 *
 * console.log(broker.topics()); // ["persistent://public/default/orders"]
 * console.log(broker.messages("orders").map((message) => message.text())); // ["one coffee"]
 * ```
 */
export class TestBroker {
  /** Where clients connect to: `new Client({ serviceUrl: broker.serviceUrl })`. It works in this program only. */
  readonly serviceUrl: string;
  /** Let go of at the end, so that a test that keeps the broker does not keep its memory. */
  #living: { readonly instance: Instance; readonly engine: Engine } | undefined;
  readonly #sockets = new Map<number, MemorySocket>();
  readonly #clients = new Set<Client>();
  /** What clients did and the broker does not know yet, in order. */
  #inbox: (() => void)[] = [];
  /** What clients are told in the next turn, in order. */
  #outbox: (() => void)[] = [];
  #turning = false;
  #timer: { id: ReturnType<typeof setTimeout>; at: number } | undefined;
  #stopping: Promise<void> | undefined;
  #over: PulsarError | undefined;

  private constructor(by: symbol, instance: Instance, engine: Engine) {
    if (by !== STARTED) throw new TypeError("a TestBroker is made by: await TestBroker.start()");
    this.#living = { instance, engine };
    const server: Server = {
      opening: (socket) => this.#todo(() => this.#accept(socket)),
      sent: (socket, bytes) => this.#todo(() => this.#receive(socket, bytes)),
      left: (socket) => this.#todo(() => this.#leave(socket)),
    };
    this.serviceUrl = listen(server);
  }

  /**
   * Starts a broker without topics. Several may run at once; each has its own.
   *
   * @throws PulsarError with code `InvalidOption` that lists all that is wrong, or `ModuleLoadFailed`.
   */
  static async start(options?: TestBrokerOptions): Promise<TestBroker> {
    const checked = engineOptions(options);
    const instance = await acquire();
    try {
      return new TestBroker(STARTED, instance, instance.open(checked));
    } catch (error) {
      await release(instance);
      throw toPulsarError(instance.failed(error));
    }
  }

  /**
   * A client of this broker; `stop` closes it.
   *
   * @throws PulsarError with code `InvalidArgument` or, where there is a `serviceUrl`, `InvalidOption`: it is the
   * broker's own.
   */
  client(options?: Omit<ClientOptions, "serviceUrl"> & { serviceUrl?: never }): Client {
    this.#check();
    if (options !== undefined && (typeof options !== "object" || options === null)) {
      throw invalidArgument("client takes an options object");
    }
    if (options?.serviceUrl !== undefined) {
      throw new PulsarError("InvalidOption", "client takes no serviceUrl: it is that of the broker");
    }
    const client = new Client({ ...options, serviceUrl: this.serviceUrl });
    this.#clients.add(client);
    return client;
  }

  /** The time, as the broker sees it. */
  now(): Date {
    return new Date(this.#call((engine) => engine.wall(...clocks())));
  }

  /**
   * Puts the broker's clock forward. What falls due on the way happens on the way, in its order; clients hear of it in
   * the next turns of the event loop.
   *
   * @param ms - milliseconds, not negative, fractions count; 100 years in all at most.
   * @throws PulsarError with code `InvalidArgument`, also when it would be more than 100 years in all: the clock then
   * stays where it is.
   */
  advance(ms: number): void {
    if (typeof ms !== "number" || !(ms >= 0 && ms <= MAX_ADVANCE)) {
      throw invalidArgument(`advance takes milliseconds from 0 to ${MAX_ADVANCE}, not ${String(ms)}`);
    }
    this.#call((engine) => {
      const left = engine.advanceLeft();
      if (ms > left) {
        const already = MAX_ADVANCE - left;
        throw invalidArgument(
          `advance takes ${MAX_ADVANCE} milliseconds in all; ${already} are used, so not ${ms} more`,
        );
      }
      engine.advance(ms, ...clocks());
    });
    this.#turnSoon();
  }

  /**
   * Lets sends fail: the next one, or the next `times`. Nothing of a send that fails is stored. Called again, it adds
   * to what is planned.
   *
   * @throws PulsarError with code `InvalidOption`, `InvalidTopicName`, or `NotAllowed` when 1000 plans wait already.
   */
  failNextSend(options?: FailNextSendOptions): void {
    const known = ["error", "message", "topic", "times"];
    const { given, wrong } = fields(options, "failNextSend", known);
    const { error = "NotAllowed", message = "failed by the test", topic, times = 1 } = given;
    if (typeof error !== "string" || !Object.hasOwn(SEND_ERRORS, error)) {
      wrong.push(`error is one of ${Object.keys(SEND_ERRORS).join(", ")}`);
    }
    if (typeof message !== "string") wrong.push("message is a string");
    if (topic !== undefined && typeof topic !== "string") wrong.push("topic is a string");
    if (!isWhole(times, 1, 1_000_000)) wrong.push("times is a whole number from 1 to 1000000");
    if (wrong.length > 0) throw new PulsarError("InvalidOption", wrong.join("; "));
    const number = SEND_ERRORS[error as SendError];
    this.#call((engine) => engine.failSends(number, message as string, topic as string | undefined, times as number));
  }

  /** The connections that stand now. A client makes a new one when it has lost one. */
  connections(): TestConnection[] {
    return this.#call((engine) => engine.connections());
  }

  /**
   * Cuts connections, as a network does that breaks: all, the one of a number, or those that are chosen. What was not
   * answered is lost; clients connect anew.
   *
   * @returns how many were cut.
   * @example
   * ```ts
   * broker.disconnect(); // all
   * broker.disconnect((connection) => connection.producers.some((producer) => producer.topic.endsWith("/orders")));
   * ```
   */
  disconnect(which?: number | ((connection: TestConnection) => boolean)): number {
    if (which !== undefined && typeof which !== "number" && typeof which !== "function") {
      throw invalidArgument("disconnect takes a connection's number, or a function that chooses connections");
    }
    const chosen = this.connections().filter((connection) => {
      if (typeof which === "function") return which(connection);
      return which === undefined || which === connection.id;
    });
    const cut = chosen.filter(({ id }) => this.#call((engine) => engine.disconnect(id, ...clocks())));
    this.#turnSoon();
    return cut.length;
  }

  /**
   * Whether new connections are taken from now on. Together with {@link disconnect}: an outage, until it is set to
   * `true` again.
   */
  setReachable(reachable: boolean): void {
    if (typeof reachable !== "boolean") throw invalidArgument("setReachable takes true or false");
    this.#call((engine) => engine.setReachable(reachable));
  }

  /**
   * Makes a topic. Its namespace has to be there, as `public/default` is.
   *
   * @throws PulsarError with code `InvalidTopicName`, `InvalidOption`, `TopicNotFound` when its namespace is not there, or
   * `NotAllowed` when it is there already, or is named as a partition of a topic that does not have it.
   */
  createTopic(topic: string, options?: CreateTopicOptions): void {
    const { given, wrong } = fields(options, "createTopic", ["partitions"]);
    const { partitions = 0 } = given;
    if (!isWhole(partitions, 0, 1000)) wrong.push("partitions is a whole number from 0 to 1000");
    if (wrong.length > 0) throw new PulsarError("InvalidOption", wrong.join("; "));
    this.#call((engine) => engine.createTopic(name(topic), partitions as number, ...clocks()));
    this.#turnSoon();
  }

  /**
   * Deletes a topic with its subscriptions. Its producers and consumers are sent away: where topics come into being by
   * themselves, they make it again.
   *
   * @throws PulsarError with code `InvalidTopicName` or `TopicNotFound`.
   */
  deleteTopic(topic: string): void {
    this.#call((engine) => engine.deleteTopic(name(topic), ...clocks()));
    this.#turnSoon();
  }

  /**
   * Sets after what time the subscriptions of a topic pass over a message, in milliseconds, rounded up to seconds; 0 is
   * never. It is looked for once in a second, so {@link advance} a second more.
   *
   * @throws PulsarError with code `InvalidArgument`, `InvalidTopicName` or `TopicNotFound`.
   */
  setMessageTtl(topic: string, ms: number): void {
    if (typeof ms !== "number" || !(ms >= 0 && ms <= MAX_ADVANCE)) {
      throw invalidArgument(`setMessageTtl takes milliseconds from 0 to ${MAX_ADVANCE}, not ${String(ms)}`);
    }
    this.#call((engine) => engine.setMessageTtl(name(topic), Math.ceil(ms / 1000), ...clocks()));
    this.#turnSoon();
  }

  /** The full names of all topics, in order; a partitioned one is named once. */
  topics(): string[] {
    return this.#call((engine) => engine.topics());
  }

  /**
   * How many partitions a topic has; 0 for a topic without partitions.
   *
   * @throws PulsarError with code `InvalidTopicName` or `TopicNotFound`.
   */
  partitions(topic: string): number {
    return this.#call((engine) => engine.partitions(name(topic)));
  }

  /**
   * The messages that a topic stores, in order; of a partitioned topic, those of one partition after the other.
   * What all subscriptions have acknowledged is stored until room is needed.
   *
   * @throws PulsarError with code `InvalidTopicName` or `TopicNotFound`.
   */
  messages(topic: string): StoredMessage[] {
    return this.#call((engine) => engine.messages(name(topic))).map((message) => new StoredMessage(message));
  }

  /**
   * The subscriptions of a topic, with their backlogs, by name. Acknowledgements reach the broker in groups, after a
   * moment; a test waits for them, or closes the consumer, which sends what is left.
   *
   * @example
   * ```ts
   * await consumer.acknowledge(message);
   * while (broker.subscriptions("orders")[0]?.backlog !== 0) await new Promise((resolve) => setTimeout(resolve, 5));
   * ```
   *
   * @throws PulsarError with code `InvalidTopicName` or `TopicNotFound`.
   */
  subscriptions(topic: string): TestSubscription[] {
    const found = this.#call((engine) => engine.subscriptions(name(topic)));
    return found.map(({ kind, ...rest }) => ({ ...rest, type: TYPES[kind] }));
  }

  /**
   * Closes the clients that {@link client} made, cuts all other connections and frees what is stored. Stopping twice is
   * stopping once.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Stops it at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<void> {
    const closing = Promise.allSettled([...this.#clients].map((client) => client.close()));
    let late: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      late = startTimer(resolve, CLOSING);
    });
    if (this.#clients.size > 0) await Promise.race([closing, patience]);
    stopTimer(late);
    this.#clients.clear();
    await this.#end(alreadyClosed("test broker"));
  }

  /** It takes no more calls; connections break. */
  async #end(error: PulsarError): Promise<void> {
    const living = this.#living;
    if (!living) return;
    this.#living = undefined;
    this.#over = error;
    leave(this.serviceUrl);
    if (this.#timer) clearTimeout(this.#timer.id);
    const ends = [...this.#sockets.values()].map((socket) => () => socket.ended());
    // Who was about to connect hears that nobody is there.
    const rest = [...this.#outbox, ...this.#inbox, ...ends];
    later(() => {
      for (const work of rest) work();
    });
    this.#sockets.clear();
    this.#outbox = [];
    this.#inbox = [];
    if (!living.instance.dead) living.engine.free();
    await release(living.instance);
  }

  #check(): { readonly instance: Instance; readonly engine: Engine } {
    if (!this.#living) throw this.#over ?? alreadyClosed("test broker");
    return this.#living;
  }

  /** Calls into the engine, after all that came before. */
  #call<T>(work: (engine: Engine) => T): T {
    this.#check();
    this.#takeIn();
    return this.#guarded(work);
  }

  #guarded<T>(work: (engine: Engine) => T): T {
    const { instance, engine } = this.#check();
    try {
      return work(engine);
    } catch (error) {
      const reason = instance.failed(error);
      if (instance.dead) void this.#end(instance.dead);
      throw toPulsarError(reason);
    }
  }

  #todo(work: () => void): void {
    this.#inbox.push(work);
    this.#turnSoon();
  }

  #turnSoon(): void {
    if (this.#turning) return;
    this.#turning = true;
    later(() => {
      this.#turning = false;
      if (this.#over) return;
      try {
        this.#turn();
      } catch (error) {
        // The module has failed: connections are broken, and the next call of a test says why.
        if (error !== this.#over) throw error;
      }
    });
  }

  /** Lets the broker do what there is to do, and tells clients what comes of it. */
  #turn(): void {
    this.#takeIn();
    const now = clocks();
    const due = this.#guarded((engine) => engine.nextDeadline());
    if (due !== undefined && due <= now[0]) this.#guarded((engine) => engine.timeout(...now));
    this.#collect();
    this.#arm();
    const outbox = this.#outbox;
    this.#outbox = [];
    for (const tell of outbox) tell();
  }

  /** Hands the broker what clients did. What follows is told in a turn, never from inside a call of theirs. */
  #takeIn(): void {
    const inbox = this.#inbox;
    this.#inbox = [];
    for (const work of inbox) work();
  }

  /** Puts what the broker has to tell into the outbox. It counts as written: it is in the client's hands. */
  #collect(): void {
    for (;;) {
      const out = this.#guarded((engine) => engine.pollTransmit(...clocks()));
      if (!out) break;
      const socket = this.#sockets.get(out.conn);
      if (socket) this.#outbox.push(() => socket.receive(out.bytes.buffer));
    }
    for (;;) {
      const cut = this.#guarded((engine) => engine.pollDisconnect());
      if (!cut) return;
      const socket = this.#sockets.get(cut.conn);
      this.#sockets.delete(cut.conn);
      if (socket) this.#outbox.push(() => socket.ended());
    }
  }

  #accept(socket: MemorySocket): void {
    const conn = this.#over ? 0 : this.#guarded((engine) => engine.connect(...clocks()));
    if (conn === 0) {
      later(() => socket.refused());
      return;
    }
    socket.conn = conn;
    this.#sockets.set(conn, socket);
    this.#outbox.push(() => socket.opened());
  }

  #receive(socket: MemorySocket, bytes: Uint8Array): void {
    socket.bufferedAmount -= bytes.length;
    if (this.#over || !this.#sockets.has(socket.conn)) return;
    this.#guarded((engine) => engine.received(socket.conn, bytes, ...clocks()));
    this.#collect();
  }

  #leave(socket: MemorySocket): void {
    later(() => socket.ended());
    if (this.#over || !this.#sockets.delete(socket.conn)) return;
    this.#guarded((engine) => engine.closed(socket.conn, ...clocks()));
  }

  /** Wakes the broker when its next deadline has come, by the host's timers; they keep no program alive. */
  #arm(): void {
    const at = this.#guarded((engine) => engine.nextDeadline());
    if (this.#timer && this.#timer.at === at) return;
    if (this.#timer) clearTimeout(this.#timer.id);
    this.#timer = undefined;
    if (at === undefined) return;
    const wait = Math.min(Math.max(0, Math.ceil(at - clocks()[0])), LONGEST_TIMER);
    const id = setTimeout(() => {
      this.#timer = undefined;
      this.#turnSoon();
    }, wait);
    (id as { unref?: () => void }).unref?.();
    this.#timer = { id, at };
  }
}

let latest = 0;
let shift = 0;

/**
 * The host's time: milliseconds of its monotonic clock, and since the epoch. Where fake timers take the clock's place it
 * goes on from where it was.
 */
function clocks(): [mono: number, wall: number] {
  const mono = performance.now();
  if (mono + shift < latest) shift = latest - mono;
  latest = mono + shift;
  return [latest, Date.now()];
}

function name(topic: unknown): string {
  if (typeof topic !== "string" || topic === "") throw invalidArgument("topic must be a string that is not empty");
  return topic;
}
