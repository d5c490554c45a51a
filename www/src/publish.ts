import type { SendOptions } from "pulsewire";
import { element, make } from "./dom.js";

/** What the form asks to publish. */
export interface Draft {
  payload: string;
  options: SendOptions;
  copies: number;
}

/** The form: `publish` is called with what it holds. */
export function setUpPublish(publish: (draft: Draft) => Promise<void>): void {
  const form = element<HTMLFormElement>("publish-form");
  const payload = element<HTMLTextAreaElement>("payload");
  const key = element<HTMLInputElement>("key");
  const copies = element<HTMLInputElement>("copies");
  const properties = element("properties");
  const add = element("add-property");

  if (/Mac|iP(hone|ad)/.test(navigator.platform)) element("publish-keys").textContent = "⌘ ↵";

  add.addEventListener("click", () => {
    const row = make("div", { class: "property" });
    const input = (label: string): HTMLInputElement => {
      const made = make("input");
      made.setAttribute("aria-label", label);
      made.placeholder = label.replace("Property ", "");
      made.autocomplete = "off";
      made.spellcheck = false;
      return made;
    };
    const name = input("Property name");
    const remove = make("button", { class: "button quiet icon", text: "×", title: "Remove property" });
    remove.type = "button";
    remove.setAttribute("aria-label", "Remove property");
    remove.addEventListener("click", () => {
      row.remove();
      add.focus();
    });
    row.append(name, input("Property value"), remove);
    properties.append(row);
    name.focus();
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const options: SendOptions = {};
    if (key.value !== "") options.key = key.value;
    const pairs = [...properties.querySelectorAll(".property")].flatMap((row): [string, string][] => {
      const [name, value] = row.querySelectorAll("input");
      return name && value && name.value !== "" ? [[name.value, value.value]] : [];
    });
    if (pairs.length > 0) options.properties = Object.fromEntries(pairs);
    const wanted = Math.floor(copies.valueAsNumber);
    const number = Math.min(100_000, Math.max(1, Number.isFinite(wanted) ? wanted : 1));
    copies.value = String(number);
    void publish({ payload: payload.value, options, copies: number });
  });

  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}
