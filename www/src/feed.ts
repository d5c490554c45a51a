import type { Message } from "pulsewire";
import { count, element, make } from "./dom.js";
import { full, preview, time } from "./text.js";

/** How many messages are kept. */
const KEPT = 500;
/** Rows drawn beyond the visible ones. */
const SPARE = 4;

interface Entry {
  /** Its number since the list was cleared, newest highest. */
  number: number;
  message: Message;
}

interface Row {
  root: HTMLElement;
  time: HTMLElement;
  id: HTMLElement;
  key: HTMLElement;
  body: HTMLElement;
  props: HTMLElement;
  shown: Entry | undefined;
}

/**
 * The list of the newest messages.
 *
 * It draws once a frame whatever the rate, and only the rows that are visible. While it is paused or scrolled away from
 * its top it stands still, and tells how many have come since.
 */
export class Feed {
  readonly #feed = element("feed");
  readonly #rows = element("rows");
  readonly #empty = element("empty");
  readonly #state = element("feed-state");
  readonly #detail = element("detail");
  readonly #pause = element<HTMLButtonElement>("pause");
  readonly #pool: Row[] = [];
  /** Oldest first. */
  #entries: Entry[] = [];
  /** What stands still while it is frozen. */
  #frozen: Entry[] | undefined;
  /** Came since the last frame, at most the newest that can be kept. */
  #fresh: Message[] = [];
  #seen = 0;
  #selected: Entry | undefined;
  #paused = false;
  #drawing = false;
  #idle = "";

  constructor() {
    this.#feed.addEventListener("scroll", () => {
      this.#freeze();
      this.#draw();
    });
    this.#feed.addEventListener("keydown", (event) => this.#key(event));
    this.#rows.addEventListener("click", (event) => {
      const root = (event.target as Element).closest(".message");
      const entry = this.#pool.find((row) => row.root === root)?.shown;
      if (entry) this.#select(entry);
    });
    this.#pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      if (!this.#paused) this.#feed.scrollTop = 0;
      this.#freeze();
      this.#draw();
    });
    element("clear").addEventListener("click", () => this.clear());
    new ResizeObserver(() => this.#draw()).observe(this.#feed);
  }

  /** Text for when there is nothing to show. */
  idle(title: string, text: string): void {
    const strong = make("strong", { text: title });
    this.#empty.replaceChildren(strong, text);
    this.#idle = title;
    this.#draw();
  }

  /** Adds a message. Cheap at any rate: the work is done once a frame, for those that are still to be seen then. */
  add(message: Message): void {
    this.#seen += 1;
    this.#fresh.push(message);
    if (this.#fresh.length >= KEPT * 2) this.#fresh.splice(0, KEPT);
    this.#draw();
  }

  clear(): void {
    this.#entries = [];
    this.#fresh = [];
    this.#seen = 0;
    this.#frozen = undefined;
    this.#paused = false;
    this.#feed.scrollTop = 0;
    this.#select(undefined);
  }

  #freeze(): void {
    const still = this.#paused || this.#feed.scrollTop > 4;
    if (still) {
      this.#settle();
      this.#frozen ??= this.#entries;
    } else {
      this.#frozen = undefined;
    }
  }

  /** Takes over what has come since the last frame. Copies, so that a kept message does not hold its whole block. */
  #settle(): void {
    if (this.#fresh.length === 0) return;
    const kept = this.#fresh.slice(-KEPT);
    const first = this.#seen - kept.length;
    const added = kept.map((message, index) => ({ number: first + index, message: message.copy() }));
    this.#entries = [...this.#entries.slice(-(KEPT - added.length) || KEPT), ...added].slice(-KEPT);
    this.#fresh = [];
  }

  #draw(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#settle();
      this.#render();
    });
  }

  #render(): void {
    const entries = this.#frozen ?? this.#entries;
    const height = Number.parseFloat(getComputedStyle(this.#feed).getPropertyValue("--row")) || 36;
    this.#rows.style.height = `${entries.length * height}px`;
    this.#empty.hidden = entries.length > 0 || this.#idle === "";
    const first = Math.max(0, Math.floor(this.#feed.scrollTop / height) - SPARE);
    const last = Math.min(entries.length, Math.ceil((this.#feed.scrollTop + this.#feed.clientHeight) / height) + SPARE);
    let used = 0;
    for (let position = first; position < last; position++) {
      const entry = entries[entries.length - 1 - position];
      if (entry) this.#place(this.#row(used++), entry, position, entries.length, height);
    }
    for (const row of this.#pool.slice(used)) row.root.hidden = true;
    const active = this.#pool.find((row) => !row.root.hidden && row.shown === this.#selected);
    if (active && this.#selected) this.#feed.setAttribute("aria-activedescendant", active.root.id);
    else this.#feed.removeAttribute("aria-activedescendant");
    this.#tell(entries);
  }

  #tell(entries: Entry[]): void {
    const still = this.#frozen !== undefined;
    const missed = this.#seen - ((entries.at(-1)?.number ?? -1) + 1);
    this.#pause.textContent = still ? "Resume" : "Pause";
    this.#pause.setAttribute("aria-pressed", String(still));
    this.#paused ||= still;
    if (still) this.#state.textContent = missed > 0 ? `Paused, ${count(missed)} new` : "Paused";
    else if (this.#seen > KEPT) this.#state.textContent = `The last ${KEPT} of ${count(this.#seen)}`;
    else this.#state.textContent = this.#seen > 0 ? count(this.#seen) : "";
  }

  #row(index: number): Row {
    const known = this.#pool[index];
    if (known) return known;
    const root = make("div", { class: "message" });
    root.id = `message-${index}`;
    root.setAttribute("role", "option");
    const cell = (name: string): HTMLElement => {
      const span = make("span", { class: name });
      root.append(span);
      return span;
    };
    const row: Row = {
      root,
      time: cell("time"),
      id: cell("id"),
      key: cell("key"),
      body: cell("body"),
      props: cell("props"),
      shown: undefined,
    };
    this.#rows.append(root);
    this.#pool.push(row);
    return row;
  }

  #place(row: Row, entry: Entry, position: number, size: number, height: number): void {
    const { root } = row;
    root.hidden = false;
    root.style.transform = `translateY(${position * height}px)`;
    root.setAttribute("aria-posinset", String(position + 1));
    root.setAttribute("aria-setsize", String(size));
    root.setAttribute("aria-selected", String(entry === this.#selected));
    if (row.shown === entry) return;
    row.shown = entry;
    const { message } = entry;
    row.time.textContent = time(message.publishTime);
    row.id.textContent = message.id.toString();
    const { key } = message;
    row.key.textContent = key ?? "no key";
    row.key.classList.toggle("none", key === undefined);
    row.body.textContent = preview(message) || "empty";
    row.body.classList.toggle("none", message.size === 0);
    row.props.textContent = Object.entries(message.properties)
      .map(([name, value]) => `${name}=${value}`)
      .join("  ");
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.#selected) {
      this.#select(undefined);
      return;
    }
    const entries = this.#frozen ?? this.#entries;
    const at = this.#selected ? entries.length - 1 - entries.indexOf(this.#selected) : -1;
    const page = Math.max(1, Math.floor(this.#feed.clientHeight / this.#height()) - 1);
    const step: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: entries.length - 1,
    };
    const wanted = step[event.key];
    if (wanted === undefined || entries.length === 0) return;
    event.preventDefault();
    const position = Math.min(entries.length - 1, Math.max(0, wanted));
    this.#select(entries[entries.length - 1 - position]);
    this.#reveal(position);
  }

  #height(): number {
    return Number.parseFloat(getComputedStyle(this.#feed).getPropertyValue("--row")) || 36;
  }

  #reveal(position: number): void {
    const height = this.#height();
    const top = position * height;
    const { scrollTop, clientHeight } = this.#feed;
    if (top < scrollTop) this.#feed.scrollTop = top;
    else if (top + height > scrollTop + clientHeight) this.#feed.scrollTop = top + height - clientHeight;
  }

  #select(entry: Entry | undefined): void {
    this.#selected = entry;
    this.#detail.hidden = entry === undefined;
    if (entry) this.#describe(entry.message);
    this.#draw();
  }

  #describe(message: Message): void {
    const { text, kind } = full(message);
    const head = make("div", { class: "head" });
    const close = make("button", { class: "button quiet small", text: "Close" });
    close.type = "button";
    close.addEventListener("click", () => {
      this.#select(undefined);
      this.#feed.focus();
    });
    head.append(make("h3", { text: message.id.toString() }), close);
    const list = make("dl");
    const line = (name: string, value: string | undefined): void => {
      if (value === undefined) return;
      list.append(make("dt", { text: name }), make("dd", { text: value }));
    };
    line("Published", new Date(message.publishTime).toISOString());
    line("Event time", message.eventTime === undefined ? undefined : new Date(message.eventTime).toISOString());
    line("Key", message.key);
    for (const [name, value] of Object.entries(message.properties)) line(name, value);
    line("Producer", message.producerName);
    line("Topic", message.topic);
    line("Redelivered", message.redeliveryCount > 0 ? `${message.redeliveryCount} times` : undefined);
    line("Payload", `${count(message.size)} bytes, ${kind}`);
    this.#detail.replaceChildren(head, list, ...(text ? [make("pre", { text })] : []));
    this.#detail.scrollTop = 0;
  }
}
