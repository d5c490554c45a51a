/** The element of an id; the page's markup is fixed, so a missing one is a bug. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found as T;
}

/** Makes an element with text. Text is never parsed as HTML: payloads are other people's. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: { class?: string; text?: string; title?: string } = {},
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (attributes.class) made.className = attributes.class;
  if (attributes.text !== undefined) made.textContent = attributes.text;
  if (attributes.title) made.title = attributes.title;
  return made;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A number as people read it. */
export function count(value: number): string {
  return whole.format(value);
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** A number where there is little room. */
export function compact(value: number): string {
  return short.format(value);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes as people read them. */
export function bytes(value: number): string {
  let unit = 0;
  let left = value;
  for (; left >= 999.5 && unit < UNITS.length - 1; unit++) left /= 1024;
  return `${left < 9.95 && unit > 0 ? left.toFixed(1) : Math.round(left)} ${UNITS[unit]}`;
}

/** A time in seconds as people read it. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.floor(seconds)} s`;
  const [minutes, hours, days] = [seconds / 60, seconds / 3600, seconds / 86_400].map(Math.floor) as [
    number,
    number,
    number,
  ];
  if (hours < 1) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return days < 1 ? `${hours} h ${minutes % 60} min` : `${days} d ${hours % 24} h`;
}
