import type { Ask, Connection, Page } from "./admin.js";
import { bytes, count, duration, element, make } from "./dom.js";
import { time } from "./text.js";

/** Rows of a page. */
const ROWS = 50;

interface Column {
  /** What `/connz` calls the order by it. */
  sort: string;
  title: string;
  /** A figure, set to the right. */
  figure?: boolean;
  /** Whether the largest come first. */
  largest?: boolean;
  text(connection: Connection): string | null;
}

const COLUMNS: Column[] = [
  { sort: "id", title: "Id", largest: true, text: ({ id }) => String(id) },
  { sort: "reason", title: "State", text: ({ state, reason }) => reason ?? state },
  { sort: "peer", title: "Client", text: ({ peer }) => peer },
  { sort: "origin", title: "Origin", text: ({ origin }) => origin },
  { sort: "subject", title: "Subject", text: ({ subject }) => subject },
  { sort: "upstream", title: "Upstream", text: ({ upstream }) => upstream },
  { sort: "age", title: "Age", figure: true, largest: true, text: ({ age }) => duration(age) },
  { sort: "up", title: "To Pulsar", figure: true, largest: true, text: ({ up }) => bytes(up) },
  { sort: "down", title: "To client", figure: true, largest: true, text: ({ down }) => bytes(down) },
];

/** The table of the gateway's connections: which, in what order, which page. */
export class Connections {
  readonly #columns = element("connections-columns");
  readonly #rows = element("connections-rows");
  readonly #empty = element("connections-empty");
  readonly #state = element("connections-state");
  readonly #hold = element<HTMLButtonElement>("hold");
  readonly #before = element<HTMLButtonElement>("page-before");
  readonly #after = element<HTMLButtonElement>("page-after");
  readonly #changed: () => void;
  readonly #ask: Ask = { state: "open", sort: "id", order: "desc", offset: 0, limit: ROWS };
  #held = false;

  /** `changed` runs when another page is wanted at once. */
  constructor(changed: () => void) {
    this.#changed = changed;
    for (const column of COLUMNS) {
      const head = make("th");
      head.scope = "col";
      if (column.figure) head.className = "figure";
      const button = make("button", { text: column.title });
      button.type = "button";
      button.addEventListener("click", () => this.#sort(column));
      head.append(button);
      this.#columns.append(head);
    }
    element("which").addEventListener("change", (event) => {
      this.#ask.state = (event.target as HTMLInputElement).value as Ask["state"];
      this.#turn(0);
    });
    this.#hold.addEventListener("click", () => this.#pause(!this.#held));
    this.#before.addEventListener("click", () => this.#turn(this.#ask.offset - ROWS));
    this.#after.addEventListener("click", () => this.#turn(this.#ask.offset + ROWS));
    this.#mark();
    this.loading();
  }

  /** What to ask for; nothing while it stands still. */
  get wanted(): Ask | undefined {
    return this.#held ? undefined : { ...this.#ask };
  }

  loading(): void {
    this.#blank("Asking the gateway…", "");
  }

  /** Nothing has been seen, and there is no answer. */
  unknown(title: string, text: string): void {
    if (this.#rows.childElementCount === 0) this.#blank(title, text);
  }

  /** Shows the answer to `ask`, unless something else is wanted by now. */
  show(page: Page, ask: Ask): void {
    const now = this.wanted;
    if (!now || (Object.keys(ask) as (keyof Ask)[]).some((key) => ask[key] !== now[key])) return;
    element("count-open").textContent = count(page.open);
    element("count-closed").textContent = count(page.closed);
    if (page.connections.length === 0 && page.total > 0) {
      // The page that was shown is no longer there.
      this.#turn(Math.floor((page.total - 1) / ROWS) * ROWS);
      return;
    }
    while (this.#rows.childElementCount > page.connections.length) this.#rows.lastElementChild?.remove();
    page.connections.forEach((connection, index) => {
      place(this.#rows.children[index] ?? this.#rows.appendChild(row()), connection);
    });
    if (page.connections.length > 0) this.#empty.hidden = true;
    else if (ask.state === "closed") this.#blank("None has ended yet", "The last 1,000 that end are listed here.");
    else this.#blank("Nobody is connected", "Clients appear here as they connect to the gateway.");
    const last = ask.offset + page.connections.length;
    element("pages-state").textContent =
      page.total > 0 ? `${count(ask.offset + 1)}–${count(last)} of ${count(page.total)}` : "";
    this.#before.disabled = ask.offset === 0;
    this.#after.disabled = last >= page.total;
  }

  #blank(title: string, text: string): void {
    this.#empty.replaceChildren(make("strong", { text: title }), text);
    this.#empty.hidden = false;
  }

  #pause(held: boolean): void {
    this.#held = held;
    this.#hold.textContent = held ? "Resume" : "Pause";
    this.#hold.setAttribute("aria-pressed", String(held));
    this.#state.textContent = held ? `Paused at ${time(Date.now()).slice(0, 8)}` : "";
    if (!held) this.#changed();
  }

  #turn(offset: number): void {
    this.#ask.offset = Math.max(0, offset);
    element("connections-scroll").scrollTop = 0;
    // Another page is of now.
    this.#pause(false);
  }

  #sort(column: Column): void {
    const again = this.#ask.sort === column.sort;
    const up = again ? this.#ask.order === "desc" : !column.largest;
    this.#ask.sort = column.sort;
    this.#ask.order = up ? "asc" : "desc";
    this.#mark();
    this.#turn(0);
  }

  #mark(): void {
    COLUMNS.forEach(({ sort }, index) => {
      const head = this.#columns.children[index];
      if (sort === this.#ask.sort) {
        head?.setAttribute("aria-sort", this.#ask.order === "asc" ? "ascending" : "descending");
      } else head?.removeAttribute("aria-sort");
    });
  }
}

function row(): HTMLTableRowElement {
  const made = make("tr");
  for (const { figure } of COLUMNS) made.append(make("td", figure ? { class: "figure" } : {}));
  return made;
}

/** Fills a row. Only what differs is written: what a reader has marked stays marked. */
function place(into: Element, connection: Connection): void {
  (into as HTMLElement).dataset.state = connection.state;
  COLUMNS.forEach(({ text }, index) => {
    const cell = into.children[index] as HTMLElement;
    const told = text(connection);
    const shown = told ?? "–";
    if (cell.textContent === shown) return;
    cell.textContent = shown;
    cell.title = told ?? "";
    cell.classList.toggle("none", told === null);
  });
}
