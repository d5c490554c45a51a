/** What a socket wants of the broker that it leads to. @internal */
export interface Peer {
  sent(socket: MemorySocket, bytes: Uint8Array): void;
  left(socket: MemorySocket): void;
}

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];

/** As a network that breaks: no reason reaches the other end. */
const ABNORMAL = 1006;

/**
 * A client's connection to a broker in the same program: as much of a `WebSocket` as the client uses. It tells nothing
 * from inside a call of the client's; its broker decides when.
 *
 * @internal
 */
export class MemorySocket extends EventTarget {
  readonly url: string;
  binaryType = "arraybuffer";
  readyState: number = CONNECTING;
  bufferedAmount = 0;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  /** Its number at the broker. */
  conn = 0;
  readonly #peer: Peer;

  constructor(url: string, peer: Peer) {
    super();
    this.url = url;
    this.#peer = peer;
  }

  send(bytes: Uint8Array): void {
    if (this.readyState !== OPEN) return;
    this.bufferedAmount += bytes.length;
    // The bytes are a view of the client's memory, which goes on.
    this.#peer.sent(this, bytes.slice());
  }

  close(): void {
    if (this.readyState >= CLOSING) return;
    this.readyState = CLOSING;
    this.#peer.left(this);
  }

  /** It stands. */
  opened(): void {
    if (this.readyState !== CONNECTING) return;
    this.readyState = OPEN;
    this.onopen?.(new Event("open"));
  }

  /** Bytes from the broker. */
  receive(bytes: ArrayBuffer): void {
    if (this.readyState === OPEN) this.onmessage?.({ data: bytes });
  }

  /** It could not be made. */
  refused(): void {
    if (this.readyState === CLOSED) return;
    this.onerror?.({ message: "the test broker takes no connections" });
    this.ended();
  }

  /** It is over. */
  ended(): void {
    if (this.readyState === CLOSED) return;
    const code = this.readyState === CLOSING ? 1000 : ABNORMAL;
    this.readyState = CLOSED;
    this.onclose?.({ code, reason: "" });
    this.dispatchEvent(new Event("close"));
  }
}
