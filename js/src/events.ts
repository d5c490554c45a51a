import type { PulsarError } from "./errors.js";

/**
 * State of a client: `idle` before the first call, `connecting` while a connection is being made (again), `connected`
 * while its connections stand, `disconnected` while one is lost and the next attempt waits, `closed` after
 * `close()`, `failed` when the module has failed.
 */
export type ClientState = "idle" | "connecting" | "connected" | "disconnected" | "closed" | "failed";

/** A client's state has changed, or one of its connections'. The event's type is `state`. */
export class StateEvent extends Event {
  /** The client's state. */
  readonly state: ClientState;
  /** The connection that the change comes from. */
  readonly url: string | undefined;
  /** Why a connection was lost or could not be made. */
  readonly error: PulsarError | undefined;
  /** @internal */
  constructor(state: ClientState, url?: string, error?: PulsarError) {
    super("state");
    this.state = state;
    this.url = url;
    this.error = error;
  }
}

/** The client is lost: its WebAssembly module has failed. A new client can be made. The event's type is `fatal`. */
export class FatalEvent extends Event {
  /** What happened. */
  readonly error: PulsarError;

  /** @internal */
  constructor(error: PulsarError) {
    super("fatal");
    this.error = error;
  }
}

/** The events of a client. */
export interface ClientEventMap {
  state: StateEvent;
  fatal: FatalEvent;
}
