/** Opens a connection to a server inside this program; `undefined` when the URL leads elsewhere. @internal */
export type OpenInProcess = (url: string) => WebSocket | undefined;

// Global, so that two copies of the package in one program find each other's servers.
const SERVERS = Symbol.for("pulsewire.in-process");

interface Global {
  [SERVERS]?: OpenInProcess;
}

/** Adds servers inside this program: what `pulsewire/testing` starts. @internal */
export function serveInProcess(open: OpenInProcess): void {
  const before = (globalThis as Global)[SERVERS];
  (globalThis as Global)[SERVERS] = before ? (url) => open(url) ?? before(url) : open;
}

/** @internal */
export const openInProcess: OpenInProcess = (url) => (globalThis as Global)[SERVERS]?.(url);

/** Whether a URL leads to a server inside this program, running or not. @internal */
export function isInProcess(url: string): boolean {
  return /^wss?:\/\/[^/?#]*\.pulsewire\.invalid(:\d+)?([/?#]|$)/i.test(url);
}
