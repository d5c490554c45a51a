import { serveInProcess, serves } from "../in-process.js";
import { MemorySocket, type Peer } from "./socket.js";

/** What accepts the connections to one host. @internal */
export interface Server extends Peer {
  opening(socket: MemorySocket): void;
}

// Two copies of this file in one program have networks of their own.
const domain = `${Math.random().toString(36).slice(2, 10)}.pulsewire.invalid`;
const servers = new Map<string, Server>();
let serving = false;
let count = 0;

/** Gives a server a host name, and answers the URL that leads to it. @internal */
export function listen(server: Server): string {
  if (!serving) {
    serveInProcess(open);
    serving = true;
  }
  count += 1;
  const host = `broker-${count}.${domain}`;
  servers.set(host, server);
  serves(host, true);
  return `ws://${host}`;
}

/** Nobody is there any more: who connects is refused. @internal */
export function leave(url: string): void {
  const host = url.slice("ws://".length);
  servers.delete(host);
  serves(host, false);
}

function open(url: string): WebSocket | undefined {
  const host = /^ws:\/\/([^/?#:]*)/.exec(url)?.[1];
  if (!host?.endsWith(domain)) return undefined;
  const server = servers.get(host) ?? NOBODY;
  const socket = new MemorySocket(url, server);
  server.opening(socket);
  return socket as unknown as WebSocket;
}

const NOBODY: Server = {
  opening: (socket) => later(() => socket.refused()),
  sent: () => {},
  left: () => {},
};

/**
 * Runs something in a turn of its own of the event loop, as what comes from a network does. Taken when the module is
 * loaded: timers that a test puts in the place of the real ones do not hold connections up.
 *
 * @internal
 */
export const later: (work: () => void) => void = turns();

function turns(): (work: () => void) => void {
  const { setImmediate } = globalThis as { setImmediate?: (work: () => void) => void };
  if (setImmediate) return setImmediate;
  if (typeof MessageChannel === "function") {
    const { port1, port2 } = new MessageChannel();
    const waiting: (() => void)[] = [];
    port1.onmessage = () => waiting.shift()?.();
    return (work) => {
      waiting.push(work);
      port2.postMessage(0);
    };
  }
  const { setTimeout } = globalThis;
  return (work) => {
    setTimeout(work, 0);
  };
}
