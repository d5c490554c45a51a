import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { element } from "./dom.js";

/** What a chart shows. */
export interface ChartOptions {
  /** Of the element that it fills. */
  id: string;
  /** The colours of its lines: names of custom properties. */
  series: string[];
  /** How far back it goes, and where its lower axis is marked. */
  marks: number[];
  /** The least that its upper end stands for. */
  least: number;
  /** Its left axis in words. */
  value(value: number): string;
  /** Whether the first line is filled below. */
  filled?: boolean;
  /** Whether its left axis is marked at powers of two, as bytes are. */
  binary?: boolean;
  smooth?: boolean;
}

/** Times in seconds, and a column of values for each line; null where nothing is known. */
export type Columns = [times: number[], ...values: (number | null)[][]];

/** Lines over time, in the colours of the page. */
export class Chart {
  readonly #options: ChartOptions;
  readonly #host: HTMLElement;
  #data: Columns;
  #plot: uPlot | undefined;

  constructor(options: ChartOptions) {
    this.#options = options;
    this.#host = element(options.id);
    this.#data = [[], ...options.series.map(() => [])];
    new ResizeObserver(() => this.#fit()).observe(this.#host);
  }

  show(data: Columns): void {
    this.#data = data;
    if (!document.hidden) this.#plot?.setData(data);
  }

  /** Draws anew, in the colours that the page has now. */
  draw(): void {
    const { series, marks, least, value, filled, binary, smooth } = this.#options;
    this.#plot?.destroy();
    const style = getComputedStyle(this.#host);
    const probe = document.createElement("i");
    this.#host.append(probe);
    const colour = (wanted: string): string => {
      probe.style.color = wanted;
      return getComputedStyle(probe).color;
    };
    const axis: uPlot.Axis = {
      stroke: colour("var(--muted)"),
      font: `11px ${style.fontFamily}`,
      grid: { stroke: colour("var(--line)"), width: 1 },
      ticks: { show: false },
    };
    const curve = smooth ? uPlot.paths.spline?.() : undefined;
    const shade = colour(`color-mix(in srgb, var(${series[0]}) 12%, transparent)`);
    const line = (name: string, index: number): uPlot.Series => ({
      stroke: colour(`var(${name})`),
      width: 2,
      points: { show: false },
      ...(curve ? { paths: curve } : {}),
      ...(filled && index === 0 ? { fill: shade } : {}),
    });
    const end = (plot: uPlot): number => plot.data[0]?.at(-1) ?? 0;
    const span = Math.max(...marks);
    this.#plot = new uPlot(
      {
        width: this.#host.clientWidth,
        height: this.#host.clientHeight,
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 20, 0, 0],
        scales: {
          x: { range: (plot) => [end(plot) - span, end(plot)] },
          y: { range: (_, __, max) => [0, Math.max(least, (max ?? 0) * 1.15)] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 24,
            space: 60,
            values: (plot, ticks) => ticks.map((at) => ago(end(plot) - at)),
            splits: (plot) => marks.map((seconds) => end(plot) - seconds),
          },
          {
            ...axis,
            size: 52,
            space: 32,
            values: (_, ticks) => ticks.map(value),
            ...(binary ? { incrs: Array.from({ length: 50 }, (_, power) => 2 ** power) } : {}),
          },
        ],
        series: [{}, ...series.map(line)],
      },
      this.#data,
      this.#host,
    );
    probe.remove();
  }

  #fit(): void {
    this.#plot?.setSize({ width: this.#host.clientWidth, height: this.#host.clientHeight });
  }
}

function ago(seconds: number): string {
  return seconds < 1 ? "now" : `-${Math.round(seconds)} s`;
}
