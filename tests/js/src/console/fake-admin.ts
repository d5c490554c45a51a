// A gateway's admin listener, made up, for looking at the page that shows it.

import type { Page } from "playwright-core";

const REASONS = ["client-closed", "idle-timeout", "slow-client", "upstream-closed", "token-expired", "rate-limit"];
const REFUSED = ["origin", "token", "too-many-connections", "address-limit", "not-found", "tls"];

/** Answers `/connz` and `/metrics` of the pages that it is put in front of, as the gateway does. */
export class FakeAdmin {
  open = 128;
  closed = 320;
  lameDuck = false;
  /** What comes in place of an answer. */
  instead: { status: number; body: string } | "cut" | "late" | undefined;
  /** The queries of `/connz`. */
  readonly asked: URLSearchParams[] = [];
  readonly #started = Date.now();
  #figures = 0;

  async before(page: Page): Promise<void> {
    await page.route(/\/(connz|metrics)(\?|$)/, async (route) => {
      if (this.instead === "cut") return route.abort("connectionrefused");
      // Never answered: the test goes on meanwhile.
      if (this.instead === "late") return;
      if (this.instead) return route.fulfill(this.instead);
      const url = new URL(route.request().url());
      if (url.pathname.endsWith("/metrics")) return route.fulfill({ body: this.#metrics() });
      this.asked.push(url.searchParams);
      return route.fulfill({ contentType: "application/json", body: JSON.stringify(this.#connz(url.searchParams)) });
    });
  }

  #metrics(): string {
    this.#figures += 1;
    const seconds = (Date.now() - this.#started) / 1000;
    const wave = (of: number): number => 1 + Math.sin(seconds / of);
    const name = "pulsewire_gateway";
    const by = (what: string, reasons: string[], rate: number): string[] =>
      reasons.slice(0, this.closed > 0 ? undefined : 0).map((reason, at) => {
        const steps = Math.floor((seconds / (at + 1)) * rate * wave(7 + at));
        return `${name}_${what}_total{reason="${reason}"} ${400 - 60 * at + steps}`;
      });
    return [
      `# TYPE ${name}_connections_open gauge`,
      `${name}_connections_open ${Math.max(0, Math.round(this.open + (this.open > 20 ? 6 * Math.sin(seconds / 3) : 0)))}`,
      `${name}_handshakes ${this.open > 0 ? this.#figures % 4 : 0}`,
      `${name}_lame_duck ${Number(this.lameDuck)}`,
      `${name}_carried_bytes_total{direction="up"} ${Math.round(this.open * 40_000 * (seconds - 5 * Math.cos(seconds / 5)) + 1e7)}`,
      `${name}_carried_bytes_total{direction="down"} ${Math.round(this.open * 90_000 * (seconds - 6 * Math.cos(seconds / 6)) + 1e8)}`,
      ...by("refused", REFUSED, 3),
      ...by("closed", REASONS, 2),
      "# EOF",
      "",
    ].join("\n");
  }

  #connz(query: URLSearchParams): object {
    const seconds = (Date.now() - this.#started) / 1000;
    const one = (id: number, closed: boolean): Record<string, unknown> => ({
      id,
      state: closed ? "closed" : id % 41 === 0 ? "opening" : "piping",
      ...(closed ? { reason: REASONS[id % REASONS.length] } : {}),
      peer:
        id % 9 === 0 ? `[2001:db8::${id.toString(16)}]:${40_000 + id}` : `10.4.${id % 7}.${id % 251}:${40_000 + id}`,
      origin: id % 13 === 0 ? null : id % 3 === 0 ? "https://dashboard.example" : "https://app.example",
      subject: id % 4 === 0 ? null : `user-${(id * 7919) % 1000}`,
      upstream: id % 41 === 0 && !closed ? null : "pulsar://10.9.0.12:6650",
      opened: this.#started / 1000 - id,
      age: ((id * 977) % 90_000) / (closed ? 40 : 1) + (closed ? 0 : seconds),
      up: Math.round(((id * 7817) % 5_000_000) + seconds * 3000),
      down: Math.round(((id * 104_729) % 900_000_000) + seconds * 9000),
    });
    const state = query.get("state");
    const all = [
      ...(state === "open" ? [] : Array.from({ length: this.closed }, (_, at) => one(at + 1, true))),
      ...(state === "closed" ? [] : Array.from({ length: this.open }, (_, at) => one(this.closed + at + 1, false))),
    ];
    const key = query.get("sort") ?? "id";
    const compare = (a: unknown, b: unknown): number =>
      typeof a === "number" && typeof b === "number" ? a - b : String(a ?? "").localeCompare(String(b ?? ""));
    all.sort((a, b) => compare(a[key], b[key]) * (query.get("order") === "desc" ? -1 : 1));
    const [offset, limit] = [Number(query.get("offset")), Number(query.get("limit"))];
    const connections = all.slice(offset, offset + limit);
    return { open: this.open, closed: this.closed, total: all.length, offset, limit, connections };
  }
}
