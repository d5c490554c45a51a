/** One row of `/connz`. */
export interface Connection {
  id: number;
  state: string;
  reason?: string;
  peer: string;
  origin: string | null;
  subject: string | null;
  upstream: string | null;
  /** Seconds that it has been open, or was. */
  age: number;
  up: number;
  down: number;
}

/** A page of `/connz`. */
export interface Page {
  open: number;
  closed: number;
  total: number;
  offset: number;
  connections: Connection[];
}

/** What is asked of `/connz`. */
export interface Ask {
  state: "open" | "closed" | "all";
  sort: string;
  order: "asc" | "desc";
  offset: number;
  limit: number;
}

/** What of `/metrics` is shown; counts are since the gateway started. */
export interface Figures {
  open: number;
  handshakes: number;
  lameDuck: boolean;
  up: number;
  down: number;
  refused: Map<string, number>;
  ended: Map<string, number>;
}

/** Why there is no answer. */
export class AdminError extends Error {
  /** `away`: nothing answers; `refused`: it does not want to; `other`: it is no gateway. */
  readonly kind: "away" | "refused" | "other";

  constructor(kind: AdminError["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

const TIMEOUT = 5000;

/** The gateway's admin listener, or what passes its answers on. */
export class Admin {
  readonly #base: URL;

  constructor(base: URL) {
    this.#base = base;
  }

  async connections(ask: Ask): Promise<Page> {
    const query = new URLSearchParams(Object.entries(ask).map(([key, value]) => [key, String(value)]));
    const text = await this.#get(`connz?${query}`);
    try {
      const page = JSON.parse(text) as Page;
      if (Array.isArray(page.connections) && Number.isFinite(page.total)) return page;
    } catch {
      // Said below.
    }
    throw new AdminError("other", `connz: no list of connections, but ${text.trim().slice(0, 80)}`);
  }

  async figures(): Promise<Figures> {
    const text = await this.#get("metrics");
    const figures = parse(text);
    if (!figures) throw new AdminError("other", `metrics: no figures of a gateway, but ${text.trim().slice(0, 80)}`);
    return figures;
  }

  async #get(path: string): Promise<string> {
    const url = new URL(path, this.#base);
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      text = await response.text();
    } catch (error) {
      const late = error instanceof DOMException && error.name === "TimeoutError";
      const why = late
        ? `no answer within ${TIMEOUT / 1000} s`
        : error instanceof Error
          ? error.message
          : String(error);
      throw new AdminError("away", `${url.pathname}: ${why}`);
    }
    if (response.ok) return text;
    const kind = response.status >= 500 ? "away" : response.status === 404 ? "other" : "refused";
    throw new AdminError(kind, `${url.pathname}: ${response.status} ${text.trim().slice(0, 80)}`);
  }
}

/** Reads the text format of Prometheus, as far as the gateway writes it: samples with one label or none. */
export function parse(text: string): Figures | undefined {
  const figures: Figures = {
    open: 0,
    handshakes: 0,
    lameDuck: false,
    up: 0,
    down: 0,
    refused: new Map(),
    ended: new Map(),
  };
  let known = false;
  for (const line of text.split("\n")) {
    const found = /^pulsewire_gateway_(\w+?)(?:\{\w+="([^"]*)"\})? (\S+)$/.exec(line);
    if (!found) continue;
    const [, name, label = "", number] = found;
    const value = Number(number);
    if (!Number.isFinite(value)) continue;
    if (name === "connections_open") {
      figures.open = value;
      known = true;
    } else if (name === "handshakes") figures.handshakes = value;
    else if (name === "lame_duck") figures.lameDuck = value > 0;
    else if (name === "carried_bytes_total" && label === "up") figures.up = value;
    else if (name === "carried_bytes_total" && label === "down") figures.down = value;
    else if (name === "refused_total") figures.refused.set(label, value);
    else if (name === "closed_total") figures.ended.set(label, value);
  }
  return known ? figures : undefined;
}
