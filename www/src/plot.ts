import { Chart } from "./chart.js";
import { compact, count, element } from "./dom.js";

/** Seconds on the plot, and samples a second. */
const SECONDS = 60;
const PER_SECOND = 2;

/** Counts what goes in and out, and draws it. */
export class Throughput {
  received = 0;
  published = 0;
  readonly #times: number[] = [];
  readonly #in: number[] = [];
  readonly #out: number[] = [];
  readonly #last = { at: performance.now(), received: 0, published: 0 };
  readonly #chart = new Chart({
    id: "plot",
    series: ["--series-1", "--series-5"],
    marks: [60, 45, 30, 15, 0],
    least: 10,
    value: compact,
    filled: true,
    smooth: true,
  });

  constructor() {
    const now = Date.now() / 1000;
    for (let index = SECONDS * PER_SECOND; index > 0; index--) {
      this.#times.push(now - index / PER_SECOND);
      this.#in.push(0);
      this.#out.push(0);
    }
    this.#chart.show([this.#times, this.#in, this.#out]);
    setInterval(() => this.#sample(), 1000 / PER_SECOND);
  }

  /** Draws anew, in the colours that the page has now. */
  draw(): void {
    this.#chart.draw();
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
    this.#chart.show([this.#times, this.#in, this.#out]);
    element("rate-in").textContent = count(mean(this.#in));
    element("rate-out").textContent = count(mean(this.#out));
    element("total").textContent = count(this.received);
  }
}

/** Over the last second. */
function mean(values: number[]): number {
  return values.slice(-PER_SECOND).reduce((sum, value) => sum + value, 0) / PER_SECOND;
}
