import { Admin, AdminError, type Figures } from "./admin.js";
import { Chart } from "./chart.js";
import { Connections } from "./connections.js";
import { bytes, compact, count, element, make } from "./dom.js";
import { time } from "./text.js";

/** Seconds on the plots. */
const SPAN = 120;
/** Between two questions, and after one that failed, in milliseconds. */
const PAUSE = 1000;
const PAUSE_FAILED = 3000;
/** The least seconds that a rate is taken over: a few events in no time would be many a second. */
const RATE_OVER = 0.9;
/** Seconds without an answer that are a gap in the lines. */
const GAP = 8;
/** Reasons that have a line of their own; the others share the last one. */
const OWN_LINES = 4;
const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5"];
const MARKS = [120, 90, 60, 30, 0];
const TWO = { series: ["--series-1", "--series-5"], marks: MARKS, filled: true };

type Known = number | null;

/** Counts by reason, as lines and in words. */
class Reasons {
  readonly #id: string;
  readonly #chart: Chart;
  readonly #rates = new Map<string, Known[]>();

  constructor(id: string) {
    this.#id = id;
    this.#chart = new Chart({ id: `${id}-plot`, series: SERIES, marks: MARKS, least: 1, value: compact });
  }

  draw(): void {
    this.#chart.draw();
  }

  add(times: number[], now: Map<string, number>, rate: (reason: string, value: number) => Known): void {
    for (const reason of now.keys()) {
      if (!this.#rates.has(reason)) this.#rates.set(reason, Array(times.length - 1).fill(null));
    }
    for (const [reason, line] of this.#rates) {
      line.push(rate(reason, now.get(reason) ?? 0));
      line.splice(0, line.length - times.length);
    }
    const ranked = [...now].filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
    const own = ranked.slice(0, OWN_LINES);
    const others = ranked.slice(OWN_LINES);
    const none = times.map(() => null);
    const lines: Known[][] = SERIES.map((_, index) => this.#rates.get(own[index]?.[0] ?? "") ?? none);
    if (others.length > 0) {
      const all = others.map(([reason]) => this.#rates.get(reason) ?? none);
      lines[OWN_LINES] = times.map((_, at) =>
        all.reduce<Known>((sum, line) => (line[at] == null ? sum : (sum ?? 0) + line[at]), null),
      );
    }
    this.#chart.show([times, ...lines]);
    const sum = (of: [string, number][]): number => of.reduce((all, [, value]) => all + value, 0);
    element(`${this.#id}-total`).textContent = count(sum(ranked));
    const rest: [string, number][] = others.length > 0 ? [[`${others.length} others`, sum(others)]] : [];
    const items = [...own, ...rest].map(([reason, value], index) => reasonItem(reason, value, index + 1));
    element(`${this.#id}-reasons`).replaceChildren(
      ...(items.length > 0 ? items : [make("li", { class: "hint", text: "None yet" })]),
    );
  }
}

function reasonItem(reason: string, value: number, series: number): HTMLElement {
  const item = make("li");
  const swatch = make("i", { class: "swatch" });
  swatch.dataset.series = String(series);
  item.append(swatch, make("span", { text: reason, title: reason }), make("b", { text: count(value) }));
  return item;
}

/** The view of the gateway. It asks only while it is seen. */
export class GatewayView {
  readonly #view = element("gateway-view");
  readonly #table: Connections;
  readonly #open = new Chart({ ...TWO, id: "open-plot", least: 4, value: compact });
  readonly #carried = new Chart({ ...TWO, id: "carried-plot", least: 1024, value: bytes, binary: true });
  readonly #refused = new Reasons("refused");
  readonly #ended = new Reasons("ended");
  readonly #times: number[] = [];
  readonly #lines: [open: Known[], handshakes: Known[], up: Known[], down: Known[]] = [[], [], [], []];
  #admin: Admin | undefined;
  #last: { at: number; figures: Figures } | undefined;
  #seen = 0;
  #showing = false;
  #asking = false;
  #again: ReturnType<typeof setTimeout> | undefined;
  #failed = false;

  constructor() {
    this.#table = new Connections(() => this.#askSoon());
    document.addEventListener("visibilitychange", () => this.#askSoon());
  }

  /** Where the gateway's figures are, if anywhere; they are asked for below the page's own address only. */
  from(admin: string | undefined): void {
    const base = admin === undefined ? undefined : new URL(admin, location.href);
    this.#admin = base?.origin === location.origin ? new Admin(base) : undefined;
    this.#view.toggleAttribute("data-absent", this.#admin === undefined);
    if (this.#admin) this.#table.loading();
    else {
      this.#table.unknown(
        "This page was not told of a gateway's figures",
        "Run pulsewire dev and open the address that it prints. Elsewhere, let the page's server pass /connz and /metrics " +
          'on to the gateway\'s admin listener, for people you trust, and name the place as "admin" in config.json.',
      );
    }
    this.#askSoon();
  }

  show(showing: boolean): void {
    this.#showing = showing;
    this.#view.hidden = !showing;
    if (showing) this.draw();
    this.#askSoon();
  }

  /** Draws anew, in the colours that the page has now. */
  draw(): void {
    if (!this.#showing) return;
    for (const chart of [this.#open, this.#carried, this.#refused, this.#ended]) chart.draw();
  }

  #askSoon(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
    if (this.#showing && !document.hidden) void this.#ask();
  }

  async #ask(): Promise<void> {
    const admin = this.#admin;
    if (!admin || this.#asking) return;
    this.#asking = true;
    const wanted = this.#table.wanted;
    try {
      const due = !this.#last || Date.now() / 1000 - this.#last.at >= RATE_OVER;
      const [figures, page] = await Promise.all([due && admin.figures(), wanted && admin.connections(wanted)]);
      if (figures) this.#add(figures);
      if (wanted && page) this.#table.show(page, wanted);
      this.#answered();
    } catch (error) {
      this.#fail(error);
    }
    this.#asking = false;
    const now = this.#table.wanted;
    const same = JSON.stringify(now) === JSON.stringify(wanted);
    clearTimeout(this.#again);
    const pause = this.#failed ? PAUSE_FAILED : same ? PAUSE : 0;
    this.#again = setTimeout(() => this.#askSoon(), pause);
  }

  #answered(): void {
    this.#seen = Date.now();
    this.#failed = false;
    this.#view.removeAttribute("data-stale");
  }

  #add(figures: Figures): void {
    const at = Date.now() / 1000;
    const last = this.#last && at - this.#last.at < GAP ? this.#last : undefined;
    if (!last && this.#times.length > 0) this.#push(at, undefined, () => null);
    const seconds = last ? at - last.at : 0;
    // A counter that has become less was begun anew: the gateway was.
    const rate = (now: number, before: number): Known => (last ? (now >= before ? now - before : now) / seconds : null);
    this.#push(at, figures, rate, last?.figures);
    this.#last = { at, figures };
    element("open-now").textContent = count(figures.open);
    element("handshakes").textContent = count(figures.handshakes);
    element("rate-up").textContent = perSecond(this.#lines[2].at(-1));
    element("rate-down").textContent = perSecond(this.#lines[3].at(-1));
    this.#tell(
      figures.lameDuck && {
        kind: "warn",
        title: "The gateway is stopping",
        text: "It lets nobody new in and closes what is open, one after the other; clients go elsewhere by themselves.",
        detail: "",
      },
    );
  }

  /** Adds a point of time to all lines; without figures a gap. */
  #push(
    at: number,
    figures: Figures | undefined,
    rate: (now: number, before: number) => Known,
    before?: Figures,
  ): void {
    this.#times.push(figures ? at : at - 0.001);
    const [open, handshakes, up, down] = this.#lines;
    open.push(figures?.open ?? null);
    handshakes.push(figures?.handshakes ?? null);
    up.push(figures ? rate(figures.up, before?.up ?? 0) : null);
    down.push(figures ? rate(figures.down, before?.down ?? 0) : null);
    const old = this.#times.findIndex((time) => time >= at - SPAN - 2);
    for (const column of [this.#times, ...this.#lines]) column.splice(0, Math.max(0, old));
    this.#open.show([this.#times, open, handshakes]);
    this.#carried.show([this.#times, up, down]);
    const by = (earlier: Map<string, number> | undefined) => (reason: string, value: number) =>
      figures ? rate(value, earlier?.get(reason) ?? 0) : null;
    this.#refused.add(this.#times, figures?.refused ?? this.#last?.figures.refused ?? new Map(), by(before?.refused));
    this.#ended.add(this.#times, figures?.ended ?? this.#last?.figures.ended ?? new Map(), by(before?.ended));
  }

  #fail(error: unknown): void {
    this.#failed = true;
    this.#view.setAttribute("data-stale", "");
    const kind = error instanceof AdminError ? error.kind : "away";
    const title = {
      away: "The gateway does not answer",
      refused: "The gateway's figures are not for this page",
      other: "Something else answers in the gateway's place",
    }[kind];
    const remedy = {
      away: "Check that it still runs; this page asks again every few seconds.",
      refused: "pulsewire dev gives them to pages of localhost and 127.0.0.1 only: open the address that it prints.",
      other: "Check that /connz and /metrics of this page's server reach the gateway's admin listener.",
    }[kind];
    const since = this.#seen ? ` What is shown below is of ${time(this.#seen).slice(0, 8)}.` : "";
    const detail = error instanceof Error ? error.message : String(error);
    this.#tell({ kind: "danger", title, text: remedy + since, detail });
    this.#table.unknown("Nothing to show yet", "The connections appear as soon as the gateway answers.");
  }

  #tell(notice: false | { kind: string; title: string; text: string; detail: string }): void {
    const box = element("gateway-notice");
    if (notice) {
      box.dataset.kind = notice.kind;
      // Written only when it changes: a screen reader says it each time.
      for (const part of ["title", "text", "detail"] as const) {
        const into = element(`gateway-notice-${part}`);
        if (into.textContent !== notice[part]) into.textContent = notice[part];
      }
    }
    box.hidden = !notice;
  }
}

function perSecond(value: Known | undefined): string {
  return value == null ? "–" : `${bytes(value)}/s`;
}
