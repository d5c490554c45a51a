// A small harness of our own: the same compiled files run in Node and in a page, with no test library in between.

import { Client, type ClientOptions, PulsarError } from "pulsewire";

/** A cluster as the run hands it in. */
export interface Endpoint {
  /** Short, for file names and output: `embedded`, `pulsar-4.0.8`. */
  name: string;
  /** What stands behind it, for the ledger: `Apache Pulsar 4.0.8`. */
  witness: string;
  /** The gateway's URL. */
  url: string;
}

/** One line of a results file. */
export interface Result {
  name: string;
  row: string;
  world: "js";
  transport: "ws";
  witness: string;
  status: "passed" | "failed";
  seconds: number;
  detail: string;
  runtime: "node" | "chromium";
}

/** What a test gets. */
export class Context {
  readonly endpoint: Endpoint;
  readonly #clients: Client[] = [];
  readonly #name: string;

  constructor(endpoint: Endpoint, name: string) {
    this.endpoint = endpoint;
    this.#name = name;
  }

  /** A client of the endpoint, closed when the test ends. */
  client(options?: Partial<ClientOptions>): Client {
    const client = new Client({ serviceUrl: this.endpoint.url, ...options });
    this.#clients.push(client);
    return client;
  }

  /** The full name of a topic that no other test and no other run uses. */
  topic(suffix = ""): string {
    const unique = crypto.randomUUID().slice(0, 8);
    return `persistent://public/default/js-${this.#name}${suffix}-${unique}`;
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.#clients.map((client) => client.close()));
  }
}

/** What a test needs: nothing, a cluster, or a cluster whose gateway refuses the origin that the test runs at. */
type Setting = "unit" | "cluster" | "refused";

interface Test {
  name: string;
  setting: Setting;
  run(context: Context): Promise<void> | void;
}

const tests: Test[] = [];

/** A test against a cluster. Its name begins with the id of its row in the parity ledger. */
export function test(name: string, run: (context: Context) => Promise<void>): void {
  tests.push({ name, setting: "cluster", run });
}

/** A test that runs at an origin that the gateway refuses. */
export function refused(name: string, run: (context: Context) => Promise<void>): void {
  tests.push({ name, setting: "refused", run });
}

/** A test that needs no cluster. */
export function unit(name: string, run: () => Promise<void> | void): void {
  tests.push({ name, setting: "unit", run });
}

export interface RunOptions {
  runtime: "node" | "chromium";
  setting: Setting;
  endpoint?: Endpoint | undefined;
  /** Only names that contain one of these. */
  only?: string[] | undefined;
  concurrency?: number | undefined;
  timeoutMs?: number | undefined;
}

const NOWHERE: Endpoint = { name: "none", witness: "none", url: "ws://localhost:1" };

/** Runs the tests and tells each result as it comes. */
export async function run(options: RunOptions, report: (result: Result) => void): Promise<void> {
  const chosen = tests.filter(
    (test) =>
      test.setting === options.setting &&
      (!options.only?.length || options.only.some((part) => test.name.includes(part))),
  );
  const queue = chosen.values();
  const worker = async (): Promise<void> => {
    for (const test of queue) report(await runOne(test, options));
  };
  await Promise.all(Array.from({ length: options.concurrency ?? 4 }, worker));
}

async function runOne(test: Test, options: RunOptions): Promise<Result> {
  const endpoint = options.endpoint ?? NOWHERE;
  const context = new Context(endpoint, test.name);
  const started = performance.now();
  let detail = "";
  let status: Result["status"] = "passed";
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const limit = options.timeoutMs ?? 30_000;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not finished within ${limit} ms`)), limit);
    });
    await Promise.race([test.run(context), late]);
  } catch (error) {
    status = "failed";
    detail = describe(error);
  } finally {
    clearTimeout(timer);
  }
  const closed = Promise.race([context.end(), new Promise((resolve) => setTimeout(resolve, 5000))]);
  await closed;
  return {
    name: test.name,
    row: (/^[a-z]\d\d/.exec(test.name)?.[0] ?? "").toUpperCase(),
    world: "js",
    transport: "ws",
    witness: endpoint.witness,
    status,
    seconds: Math.round(performance.now() - started) / 1000,
    detail,
    runtime: options.runtime,
  };
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = error instanceof PulsarError ? error.code : "";
  const where =
    error.stack
      ?.split("\n")
      .find((line) => /\.test\./.test(line))
      ?.trim() ?? "";
  return [code && `[${code}]`, error.message, where].filter(Boolean).join(" ");
}

/** Fails unless the two are the same, by structure. */
export function equal(actual: unknown, expected: unknown, what = "value"): void {
  const [a, b] = [show(actual), show(expected)];
  if (a !== b) throw new Error(`${what}: got ${a}, expected ${b}`);
}

/** Fails unless the condition holds. */
export function ok(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Fails unless the promise rejects with a PulsarError of one of the codes; returns it. */
export async function rejects(promise: Promise<unknown>, ...codes: string[]): Promise<PulsarError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    const code = error instanceof PulsarError ? error.code : (error as Error).name;
    if (!codes.includes(code)) {
      throw new Error(`rejected with ${code} (${(error as Error).message}), expected ${codes.join(" or ")}`);
    }
    return error as PulsarError;
  }
  throw new Error(`resolved with ${show(value)}, expected a rejection with ${codes.join(" or ")}`);
}

/** Resolves after a time. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function show(value: unknown): string {
  return (
    JSON.stringify(value, (_, part: unknown) => {
      if (typeof part === "bigint") return `${part}n`;
      if (part instanceof Uint8Array)
        return `bytes ${[...part].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
      return part;
    }) ?? String(value)
  );
}
