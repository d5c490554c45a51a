import type { CoreError } from "./core.js";

/**
 * What went wrong, as a stable word to branch on. New ones may be added; treat one you do not know as fatal for the
 * operation.
 */
export type PulsarErrorCode =
  // The caller's side.
  /** An argument has the wrong type. */
  | "InvalidArgument"
  /** An option is out of its range. */
  | "InvalidOption"
  /** The service URL cannot be read, or its scheme cannot be used here. */
  | "InvalidServiceUrl"
  /** The topic's name is not one. */
  | "InvalidTopicName"
  /** The message id is not one. */
  | "InvalidMessageId"
  /** The payload is larger than the broker takes. */
  | "MessageTooLarge"
  /** Pending messages use up the client's memory limit. */
  | "QueueFull"
  /** The client, producer or consumer was closed. */
  | "AlreadyClosed"
  /** This version cannot do it. */
  | "NotSupported"
  // The runtime's.
  /** The runtime has no `WebSocket`. */
  | "NoWebSocket"
  /** The WebAssembly module could not be loaded or compiled. */
  | "ModuleLoadFailed"
  /** The WebAssembly module has failed; the client is lost, a new one can be made. */
  | "Fatal"
  /** A bug in this package: please report it. */
  | "Internal"
  // The network's.
  /** No answer within the time allowed. */
  | "Timeout"
  /** The gateway or broker could not be reached. */
  | "ConnectError"
  /** The gateway or a proxy refused the connection. */
  | "ConnectionRefused"
  /** The connection was lost. */
  | "Disconnected"
  /** The peer broke the protocol. */
  | "ProtocolError"
  /** A message could not be unpacked. */
  | "Corrupted"
  // The broker's.
  | "AuthenticationError"
  | "AuthorizationError"
  | "ChecksumError"
  | "ConsumerAssignError"
  /** The subscription is taken by another consumer. */
  | "ConsumerBusy"
  | "ConsumerNotFound"
  | "IncompatibleSchema"
  | "MetadataError"
  | "NotAllowed"
  | "PersistenceError"
  | "ProducerBlockedQuotaExceeded"
  /** A producer of that name exists already. */
  | "ProducerBusy"
  /** Another producer has taken over. */
  | "ProducerFenced"
  | "ServiceNotReady"
  | "SubscriptionNotFound"
  | "TooManyRequests"
  | "TopicNotFound"
  | "TopicTerminated"
  | "UnknownBrokerError"
  | "UnsupportedVersion"
  | (string & {});

/** Every error of this package that is not an abort (an abort rejects with the signal's own reason). */
export class PulsarError extends Error {
  /** What went wrong, as a stable word. */
  readonly code: PulsarErrorCode;
  /** Whether the same call can succeed later without a change. */
  readonly retryable: boolean;

  constructor(code: PulsarErrorCode, message: string, options?: { retryable?: boolean; cause?: unknown }) {
    super(message, options && "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options?.retryable ?? false;
  }

  static {
    // On the prototype, so that a stack trace names the class and the name is not an own property of each error.
    PulsarError.prototype.name = "PulsarError";
  }
}

/** @internal */
export function isCoreError(error: unknown): error is CoreError {
  return (
    typeof error === "object" &&
    error !== null &&
    typeof (error as CoreError).code === "string" &&
    typeof (error as CoreError).message === "string"
  );
}

/** What a call into the core threw or reported, as an error of this package. @internal */
export function toPulsarError(error: unknown): PulsarError {
  if (error instanceof PulsarError) return error;
  if (isCoreError(error)) {
    return new PulsarError(error.code, error.message, { retryable: error.retryable });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new PulsarError("Internal", message, { cause: error });
}

/** @internal */
export function invalidArgument(message: string): PulsarError {
  return new PulsarError("InvalidArgument", message);
}

/** @internal */
export function invalidMessageId(message: string): PulsarError {
  return new PulsarError("InvalidMessageId", message);
}

/** @internal */
export function alreadyClosed(what: string): PulsarError {
  return new PulsarError("AlreadyClosed", `the ${what} is closed`);
}
