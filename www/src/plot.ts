import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count, element } from "./dom.js";

/** Seconds on the plot, and samples a second. */
const SECONDS = 60;
const PER_SECOND = 2;

/** Counts what goes in and out, and draws it. */
export class Throughput {
  received = 0;
  published = 0;
  readonly #host = element("plot");
  readonly #times: number[] = [];
  readonly #in: number[] = [];
  readonly #out: number[] = [];
  readonly #last = { at: performance.now(), received: 0, published: 0 };
  #plot: uPlot | undefined;

  constructor() {
    const now = Date.now() / 1000;
    for (let index = SECONDS * PER_SECOND; index > 0; index--) {
      this.#times.push(now - index / PER_SECOND);
      this.#in.push(0);
      this.#out.push(0);
    }
    setInterval(() => this.#sample(), 1000 / PER_SECOND);
    new ResizeObserver(() => this.#fit()).observe(this.#host);
  }

  /** Draws anew, in the colours that the page has now. */
  draw(): void {
    this.#plot?.destroy();
    const style = getComputedStyle(this.#host);
    const probe = document.createElement("i");
    this.#host.append(probe);
    const colour = (value: string): string => {
      probe.style.color = value;
      return getComputedStyle(probe).color;
    };
    const [accent, neutral, muted, line] = ["--accent", "--neutral-series", "--muted", "--line"].map((name) =>
      colour(`var(${name})`),
    );
    const shade = colour("color-mix(in srgb, var(--accent) 12%, transparent)");
    const axis: uPlot.Axis = {
      stroke: muted ?? "",
      font: `11px ${style.fontFamily}`,
      grid: { stroke: line ?? "", width: 1 },
      ticks: { show: false },
    };
    const curve = uPlot.paths.spline?.();
    const series = (stroke: string | undefined): uPlot.Series => ({
      stroke: stroke ?? "",
      width: 2,
      points: { show: false },
      ...(curve ? { paths: curve } : {}),
    });
    this.#plot = new uPlot(
      {
        width: this.#host.clientWidth,
        height: this.#host.clientHeight,
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 20, 0, 0],
        scales: { y: { range: (_, __, max) => [0, Math.max(10, max * 1.15)] } },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 24,
            space: 80,
            values: (plot, ticks) => ticks.map((at) => ago((plot.data[0]?.at(-1) ?? at) - at)),
            splits: (plot) => {
              const end = plot.data[0]?.at(-1) ?? 0;
              return [60, 45, 30, 15, 0].map((seconds) => end - seconds);
            },
          },
          { ...axis, size: 52, space: 32, values: (_, ticks) => ticks.map((tick) => compact.format(tick)) },
        ],
        series: [{}, { ...series(accent), fill: shade }, series(neutral)],
      },
      [this.#times, this.#in, this.#out],
      this.#host,
    );
    probe.remove();
  }

  #fit(): void {
    this.#plot?.setSize({ width: this.#host.clientWidth, height: this.#host.clientHeight });
  }

  #sample(): void {
    const at = performance.now();
    const last = this.#last;
    // A tab in the background is woken rarely: the rate is over the time that really passed.
    const seconds = Math.max(0.001, (at - last.at) / 1000);
    const rate = (now: number, before: number): number => (now - before) / seconds;
    this.#push(rate(this.received, last.received), rate(this.published, last.published));
    Object.assign(last, { at, received: this.received, published: this.published });
  }

  #push(received: number, published: number): void {
    for (const column of [this.#times, this.#in, this.#out]) column.shift();
    this.#times.push(Date.now() / 1000);
    this.#in.push(received);
    this.#out.push(published);
    if (!document.hidden) this.#plot?.setData([this.#times, this.#in, this.#out]);
    element("rate-in").textContent = count(mean(this.#in));
    element("rate-out").textContent = count(mean(this.#out));
    element("total").textContent = count(this.received);
  }
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function ago(seconds: number): string {
  return seconds < 1 ? "now" : `-${Math.round(seconds)} s`;
}

/** Over the last second. */
function mean(values: number[]): number {
  return values.slice(-PER_SECOND).reduce((sum, value) => sum + value, 0) / PER_SECOND;
}
