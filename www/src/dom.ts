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
