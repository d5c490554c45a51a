import { Consumer } from "./consumer.js";
import type { CoreConsumer, CoreProducer, CoreState } from "./core.js";
import { alreadyClosed, invalidArgument, PulsarError, toPulsarError } from "./errors.js";
import { type ClientEventMap, type ClientState, FatalEvent, StateEvent } from "./events.js";
import { isInProcess } from "./in-process.js";
import { refusal, WAIT } from "./known.js";
import type { Loader } from "./loader.js";
import type { ClientOptions, ProducerOptions, SubscribeOptions, WaitOptions } from "./options.js";
import { abortable, Producer } from "./producer.js";
import { Session } from "./session.js";

/**
 * A connection to a Pulsar cluster, shared by all its producers and consumers.
 *
 * Nothing happens before the first call that needs the cluster: it loads the WebAssembly module and connects. Lost
 * connections are made again by themselves; `state` events tell about it.
 */
export abstract class ClientBase extends EventTarget {
  readonly #loader: Loader;
  readonly #serviceUrl: string;
  readonly #options: object;
  readonly #connections = new Map<string, CoreState["state"]>();
  #session: Promise<Session> | undefined;
  #state: ClientState = "idle";
  #closing: Promise<void> | undefined;
  #failed: PulsarError | undefined;

  /** @internal */
  constructor(options: ClientOptions, loader: Loader) {
    super();
    const { serviceUrl, ...rest } = options ?? {};
    if (typeof serviceUrl !== "string" || serviceUrl === "") {
      throw invalidArgument("serviceUrl is missing: give the URL of a pulsewire gateway, such as ws://localhost:8080");
    }
    checkScheme(serviceUrl);
    this.#loader = loader;
    this.#serviceUrl = serviceUrl;
    this.#options = rest;
  }

  /** The client's state now; `state` events tell of changes. */
  get state(): ClientState {
    return this.#state;
  }

  /** Opens a producer. */
  async createProducer(options: ProducerOptions & WaitOptions): Promise<Producer> {
    const { signal, ...rest } = checked(options, "createProducer");
    text(rest.topic, "topic");
    const session = await this.#open(signal);
    const opened = await session.start<CoreProducer>(
      (engine) => engine.createProducer(rest),
      signal,
      (late) => undo(() => session.start((engine) => engine.closeProducer(late.handle))),
    );
    return new Producer(session, opened);
  }

  /** Opens a consumer; the subscription is made if it does not exist. */
  async subscribe(options: SubscribeOptions & WaitOptions): Promise<Consumer> {
    const { signal, ...rest } = checked(options, "subscribe");
    text(rest.topic, "topic");
    text(rest.subscription, "subscription");
    const session = await this.#open(signal);
    const opened = await session.start<CoreConsumer>(
      (engine) => engine.subscribe(rest),
      signal,
      (late) => undo(() => session.start((engine) => engine.closeConsumer(late.handle))),
    );
    return new Consumer(session, opened, rest.subscription);
  }

  /** The number of partitions of a topic, 0 for a topic without partitions. */
  async partitions(topic: string, options?: WaitOptions): Promise<number> {
    text(topic, "topic");
    waits(options, "partitions");
    const session = await this.#open(options?.signal);
    return session.start<number>((engine) => engine.partitions(topic), options?.signal);
  }

  /** The full names of the topics of a namespace, such as `public/default`. Partitions count as topics. */
  async topics(namespace: string, options?: WaitOptions): Promise<string[]> {
    text(namespace, "namespace");
    waits(options, "topics");
    const session = await this.#open(options?.signal);
    return session.start<string[]>((engine) => engine.topics(namespace), options?.signal);
  }

  /** Waits for what is pending, closes all producers and consumers, then the connections. Closing twice is closing once. */
  close(options?: WaitOptions): Promise<void> {
    const wrong = refusal(options, WAIT, "close");
    if (wrong) return Promise.reject(wrong);
    this.#closing ??= this.#close();
    return abortable(this.#closing, options?.signal);
  }

  async #close(): Promise<void> {
    try {
      const session = await this.#session?.catch(() => undefined);
      await session?.close();
    } finally {
      this.#connections.clear();
      if (!this.#failed) this.#change(new StateEvent("closed"));
    }
  }

  /** Closes it at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #open(signal: AbortSignal | undefined): Promise<Session> {
    if (this.#failed) throw this.#failed;
    if (this.#closing) throw alreadyClosed("client");
    this.#session ??= this.#start();
    const session = await abortable(this.#session, signal);
    if (this.#closing) throw alreadyClosed("client");
    return session;
  }

  async #start(): Promise<Session> {
    try {
      if (!isInProcess(this.#serviceUrl)) requireWebSocket();
      const instance = await this.#loader.ready();
      return new Session(instance, this.#serviceUrl, this.#options, {
        state: (event) => this.#connection(event),
        fatal: (error) => this.#fatal(error),
      });
    } catch (error) {
      // The next call tries again.
      this.#session = undefined;
      throw error;
    }
  }

  #connection(event: CoreState): void {
    // While it closes, connections end as they should.
    if (this.#closing) return;
    this.#connections.set(event.url, event.state);
    const states = [...this.#connections.values()];
    let state: ClientState = "connected";
    if (states.includes("disconnected")) state = "disconnected";
    else if (states.includes("connecting")) state = "connecting";
    this.#change(new StateEvent(state, event.url, event.error && toPulsarError(event.error)));
  }

  #fatal(error: PulsarError): void {
    this.#failed = error;
    this.#connections.clear();
    this.#change(new StateEvent("failed", undefined, error));
    queueMicrotask(() => this.dispatchEvent(new FatalEvent(error)));
  }

  /** Listeners are the user's code: they run after the module's callback has returned. */
  #change(event: StateEvent): void {
    this.#state = event.state;
    queueMicrotask(() => this.dispatchEvent(event));
  }

  override addEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: ((this: this, event: ClientEventMap[K]) => unknown) | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(type: string, listener: unknown, options?: boolean | AddEventListenerOptions): void {
    super.addEventListener(type, listener as EventListener | null, options);
  }

  override removeEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: ((this: this, event: ClientEventMap[K]) => unknown) | null,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  override removeEventListener(type: string, listener: unknown, options?: boolean | EventListenerOptions): void {
    super.removeEventListener(type, listener as EventListener | null, options);
  }
}

function checkScheme(serviceUrl: string): void {
  const scheme = /^([a-z][a-z0-9+]*):\/\//i.exec(serviceUrl)?.[1]?.toLowerCase();
  if (scheme === "ws" || scheme === "wss") return;
  const why =
    scheme === "pulsar" || scheme === "pulsar+ssl"
      ? "this package reaches brokers through a pulsewire gateway"
      : "a service URL begins with ws:// or wss://";
  throw new PulsarError(
    "InvalidServiceUrl",
    `'${serviceUrl}' cannot be used: ${why}; give the gateway's URL, such as ws://localhost:8080`,
  );
}

function requireWebSocket(): void {
  if (typeof globalThis.WebSocket === "function") return;
  throw new PulsarError(
    "NoWebSocket",
    "this runtime has no WebSocket (Node has one from version 22); install the package ws and set " +
      "globalThis.WebSocket = (await import('ws')).WebSocket before the first call",
  );
}

function checked<T extends object>(options: T, method: string): T {
  if (typeof options !== "object" || options === null) throw invalidArgument(`${method} takes an options object`);
  return options;
}

function waits(options: WaitOptions | undefined, method: string): void {
  const wrong = refusal(options, WAIT, method);
  if (wrong) throw wrong;
}

function text(value: unknown, name: string): void {
  if (typeof value !== "string" || value === "") throw invalidArgument(`${name} must be a string that is not empty`);
}

/** Undoes what completed after its caller had given up; a failure of that has nobody to go to. */
function undo(work: () => Promise<unknown>): void {
  queueMicrotask(() => {
    work().catch(() => {});
  });
}
