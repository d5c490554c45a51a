/** `setTimeout` takes no more than 24 days. */
const LONGEST_TIMER = 24 * 3600 * 1000;
/** The host's own timers, whatever a test puts in their place later. */
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis;

interface NodeTimer {
  ref?(): void;
  unref?(): void;
}

/**
 * Keeps a Node program running while somebody waits for a client of a broker in the same program. There is no socket
 * that would, and the client's timers must not: a test that forgets to stop its broker could not end.
 *
 * @internal
 */
export class Keeper {
  #holds = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  /** Somebody waits; to be followed by {@link release}. */
  hold(): void {
    this.#holds += 1;
    if (this.#holds > 1 || this.#over) return;
    if (this.#timer === undefined) this.#timer = startTimer(() => {}, LONGEST_TIMER);
    else (this.#timer as NodeTimer).ref?.();
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds > 0 || this.#timer === undefined) return;
    const timer = this.#timer as NodeTimer;
    if (timer.unref) timer.unref();
    else this.#stop();
  }

  /** Nobody will wait any more. */
  end(): void {
    this.#over = true;
    this.#stop();
  }

  #stop(): void {
    stopTimer(this.#timer);
    this.#timer = undefined;
  }
}
