import { invalidArgument, PulsarError } from "./errors.js";

/** The options of a wait. @internal */
export const WAIT: ReadonlySet<string> = new Set(["signal"]);

/**
 * Why the options of a method are not taken: one that it does not know would be a mistake that nobody sees. Nothing is
 * allocated where all is well: `send` and `receive` come by here.
 *
 * @internal
 */
export function refusal(
  options: object | null | undefined,
  known: ReadonlySet<string>,
  method: string,
): PulsarError | undefined {
  if (options === undefined || options === null) return undefined;
  if (typeof options !== "object") return invalidArgument(`${method} takes an options object, not a ${typeof options}`);
  for (const name in options) {
    if (!known.has(name) && isGiven(options, name)) return unknownOptions(options, known, method);
  }
  return undefined;
}

function unknownOptions(options: object, known: ReadonlySet<string>, method: string): PulsarError {
  const unknown = Object.keys(options).filter((name) => !known.has(name) && isGiven(options, name));
  return new PulsarError(
    "InvalidOption",
    `${method} does not know the option ${unknown.join(", ")}; it knows ${[...known].join(", ")}`,
  );
}

function isGiven(options: object, name: string): boolean {
  return Object.hasOwn(options, name) && (options as Record<string, unknown>)[name] !== undefined;
}
