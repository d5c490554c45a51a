/** Opens a connection to a server inside this program; `undefined` when the URL leads elsewhere. @internal */
export type OpenInProcess = (url: string) => WebSocket | undefined;

// Global, so that two copies of the package in one program find each other's servers.
const SERVERS = Symbol.for("pulsewire.in-process");
const HOSTS = Symbol.for("pulsewire.in-process.hosts");

interface Global {
  [SERVERS]?: OpenInProcess;
  /** The hosts that run. */
  [HOSTS]?: Set<string>;
}

/** Adds servers inside this program: what `pulsewire/testing` starts. @internal */
export function serveInProcess(open: OpenInProcess): void {
  const before = (globalThis as Global)[SERVERS];
  (globalThis as Global)[SERVERS] = before ? (url) => open(url) ?? before(url) : open;
}

/** Says that a host of this program runs from now on, or does no longer. @internal */
export function serves(host: string, runs: boolean): void {
  const all = globalThis as Global;
  const hosts = all[HOSTS] ?? new Set();
  all[HOSTS] = hosts;
  if (runs) hosts.add(host);
  else hosts.delete(host);
}

/** Whether a URL leads to a server inside this program that runs. @internal */
export function isServed(url: string): boolean {
  const host = /^wss?:\/\/([^/?#:]*)/i.exec(url)?.[1]?.toLowerCase();
  return host !== undefined && (globalThis as Global)[HOSTS]?.has(host) === true;
}

/** @internal */
export const openInProcess: OpenInProcess = (url) => (globalThis as Global)[SERVERS]?.(url);

/** Whether a URL leads to a server inside this program, running or not. @internal */
export function isInProcess(url: string): boolean {
  return /^wss?:\/\/[^/?#]*\.pulsewire\.invalid(:\d+)?([/?#]|$)/i.test(url);
}
