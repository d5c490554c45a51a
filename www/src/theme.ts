import { element } from "./dom.js";

type Theme = "system" | "light" | "dark";
const ORDER: readonly Theme[] = ["system", "light", "dark"];
const KEY = "pulsewire-theme";

/** Sets up the button that goes round the themes; `changed` runs when the colours on the page may have changed. */
export function setUpTheme(changed: () => void): void {
  const button = element<HTMLButtonElement>("theme");
  let theme = read();
  const apply = (): void => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const label = `Theme: ${theme}`;
    button.setAttribute("aria-label", label);
    button.title = label;
    button.querySelector("use")?.setAttribute("href", `#icon-${theme}`);
    changed();
  };
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "system";
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Storage is off: the choice lasts as long as the page.
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  apply();
}

function read(): Theme {
  try {
    const kept = localStorage.getItem(KEY) as Theme | null;
    return kept && ORDER.includes(kept) ? kept : "system";
  } catch {
    return "system";
  }
}
