import { invalidArgument, PulsarError } from "../errors.js";
import { refusal } from "../known.js";
import type { EngineOptions } from "./module.js";

/** Options of {@link TestBroker.start}. */
export interface TestBrokerOptions {
  /** Whether topics come into being when a client first uses them. Default `true`. */
  autoCreateTopics?: boolean;
  /**
   * With how many partitions such topics are made, up to 1000; 0 makes them without. Default 0. This package's client
   * cannot open a topic with partitions as a whole yet: see {@link CreateTopicOptions.partitions}.
   */
  defaultPartitions?: number;
  /** Whether messages whose sequence id was stored before are dropped. Default `false`. */
  deduplication?: boolean;
  /** The largest message, in bytes, from 1 KiB to 64 MiB. Default 5 MiB. */
  maxMessageSize?: number;
  /**
   * Bytes of messages that the broker holds, from 1 KiB to 1 GiB. Default 64 MiB. Beyond it, what all subscriptions have
   * consumed goes first. Then the broker answers a send with `PersistenceError` and closes its producer, and refuses to
   * open it again with `ProducerBlockedQuotaExceeded`, until there is room: the latter is what `send` rejects with.
   */
  maxStoredBytes?: number;
}

const NUMBERS = {
  defaultPartitions: [0, 1000],
  maxMessageSize: [1024, 64 * 1024 * 1024],
  maxStoredBytes: [1024, 1024 * 1024 * 1024],
} as const;

const DEFAULTS: EngineOptions = {
  autoCreateTopics: true,
  defaultPartitions: 0,
  deduplication: false,
  maxMessageSize: 5 * 1024 * 1024,
  maxStoredBytes: 64 * 1024 * 1024,
};

/** Checks all options; one error says all that is wrong. @internal */
export function engineOptions(options: TestBrokerOptions | undefined): EngineOptions {
  const { given, wrong } = fields(options, "TestBroker.start", Object.keys(DEFAULTS));
  for (const [name, value] of Object.entries(given)) {
    if (name in NUMBERS) {
      const [least, most] = NUMBERS[name as keyof typeof NUMBERS];
      if (!isWhole(value, least, most)) wrong.push(`${name} is a whole number from ${least} to ${most}`);
    } else if (typeof value !== "boolean") wrong.push(`${name} is true or false`);
  }
  if (wrong.length > 0) throw new PulsarError("InvalidOption", wrong.join("; "));
  return { ...DEFAULTS, ...given };
}

/** The known fields of an options object that are set, and what is wrong so far: fields of other names. @internal */
export function fields(
  options: object | undefined,
  method: string,
  known: readonly string[],
): { given: Record<string, unknown>; wrong: string[] } {
  if (options === undefined) return { given: {}, wrong: [] };
  if (options === null) throw invalidArgument(`${method} takes an options object`);
  const refused = refusal(options, new Set(known), method);
  if (refused && refused.code !== "InvalidOption") throw refused;
  const set = Object.entries(options).filter(([name, value]) => value !== undefined && known.includes(name));
  return { given: Object.fromEntries(set), wrong: refused ? [refused.message] : [] };
}

/** @internal */
export function isWhole(value: unknown, least: number, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
}
