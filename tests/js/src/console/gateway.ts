// The console's view of the gateway. What the gateway says is made up in all tests but the last, which runs
// `pulsewire dev`, and alone counts for a row.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Page } from "playwright-core";
import { FakeAdmin } from "./fake-admin.js";

const rows = (page: Page) => page.locator("#connections-rows tr");

/** Opens the view over a gateway that is made up. */
export async function openView(page: Page, url: string, admin: FakeAdmin): Promise<void> {
  await page.route("**/config.json", (route) => route.fulfill({ json: { gateway: "ws://127.0.0.1:9/", admin: "./" } }));
  await admin.before(page);
  await page.goto(`${url}?gateway=ws%3A%2F%2F127.0.0.1%3A9%2Fnone#gateway-view`);
}

function expect(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: ${found}, expected ${wanted}`);
}

const texts = (page: Page, column: number): Promise<string[]> =>
  page.locator(`#connections-rows td:nth-child(${column})`).allTextContents();

export const gatewayTests: Record<string, (page: Page, url: string) => Promise<void>> = {
  async console_shows_the_gateway_s_connections_sorted_and_paged(page, url) {
    const admin = new FakeAdmin();
    await openView(page, url, admin);
    await rows(page).nth(49).waitFor();
    expect(await rows(page).count(), 50, "rows");
    expect((await texts(page, 1))[0], "448", "the newest first");
    expect(await page.textContent("#pages-state"), "1–50 of 128", "where it is");
    await page.click("#page-after");
    await page.locator("#pages-state", { hasText: "51–100 of 128" }).waitFor();
    await page.click("#page-after");
    await page.locator("#pages-state", { hasText: "101–128 of 128" }).waitFor();
    expect(await page.locator("#page-after").isDisabled(), true, "no page after the last");
    // By the largest of a figure, then the smallest; from the first page again.
    await page.click("th button:text('To client')");
    await page.locator("th[aria-sort=descending]", { hasText: "To client" }).waitFor();
    await page.locator("#pages-state", { hasText: "1–50 of 128" }).waitFor();
    expect(admin.asked.at(-1)?.toString(), "state=open&sort=down&order=desc&offset=0&limit=50", "asked");
    await page.click("th button:text('To client')");
    await page.locator("th[aria-sort=ascending]", { hasText: "To client" }).waitFor();
    await page.click("label:has(input[value=closed])");
    await page.locator("#connections-rows tr[data-state=closed]", { hasText: "slow-client" }).first().waitFor();
    expect((await page.textContent("#count-closed")) ?? "", "320", "closed ones");
  },

  async console_plots_the_gateway_s_figures(page, url) {
    const admin = new FakeAdmin();
    await openView(page, url, admin);
    await page.locator("#rate-down", { hasText: "/s" }).waitFor();
    expect(await page.locator(".charts canvas").count(), 4, "plots");
    const reasons = await page.locator("#refused-reasons li span").allTextContents();
    expect(reasons.join(), "origin,token,too-many-connections,address-limit,2 others", "reasons");
    admin.lameDuck = true;
    await page.locator("#gateway-notice[data-kind=warn]", { hasText: "stopping" }).waitFor();
  },

  async console_s_view_of_the_gateway_is_used_by_keyboard(page, url) {
    await openView(page, url, new FakeAdmin());
    await rows(page).first().waitFor();
    await page.focus("#skip");
    expect(await page.textContent("#skip"), "Skip to connections", "the skip link");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement?.id === "connections-scroll");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator("th[aria-sort=ascending]", { hasText: "Id" }).waitFor();
    await page.focus("#which input[value=open]");
    await page.keyboard.press("ArrowRight");
    await page.locator("#connections-rows tr[data-state=closed]").first().waitFor();
    await page.focus("#hold");
    await page.keyboard.press("Space");
    await page.locator("#connections-state", { hasText: "Paused at" }).waitFor();
    await page.focus("#show-topic");
    await page.keyboard.press("Enter");
    await page.locator("#topic-view").waitFor();
    expect(await page.locator("#gateway-view").isVisible(), false, "the other view");
    const unnamed = await page.evaluate(() =>
      [...document.querySelectorAll("button, input, a, [role=img], [role=region]")]
        .filter((one) => one.closest("#gateway-view"))
        .filter((one) => !one.textContent?.trim() && !one.hasAttribute("aria-label") && !one.closest("label"))
        .filter((one) => !one.hasAttribute("aria-labelledby"))
        .map((one) => one.outerHTML),
    );
    expect(unnamed.join(), "", "without a name");
  },

  async console_says_when_the_gateway_shows_nothing(page, url) {
    const admin = new FakeAdmin();
    admin.instead = "late";
    await openView(page, url, admin);
    await page.locator("#connections-empty", { hasText: "Asking the gateway" }).waitFor();
    admin.open = 0;
    admin.closed = 0;
    admin.instead = undefined;
    await page.reload();
    await page.locator("#connections-empty", { hasText: "Nobody is connected" }).waitFor();
    await page.locator("#refused-reasons", { hasText: "None yet" }).waitFor();
    await page.click("label:has(input[value=closed])");
    await page.locator("#connections-empty", { hasText: "None has ended yet" }).waitFor();
    // One that appears is seen without a word.
    admin.closed = 1;
    await rows(page).first().waitFor();
    expect(await page.locator("#connections-empty").isVisible(), false, "the note");
  },

  async console_keeps_what_it_saw_of_a_gateway_that_is_gone(page, url) {
    const admin = new FakeAdmin();
    await openView(page, url, admin);
    await rows(page).first().waitFor();
    for (const [instead, said] of [
      ["cut", "does not answer"],
      [{ status: 403, body: "only as localhost\n" }, "not for this page"],
      [{ status: 200, body: "<!doctype html>" }, "Something else answers"],
    ] as const) {
      admin.instead = instead;
      await page.locator("#gateway-notice:not([hidden])", { hasText: said }).waitFor();
      expect(await rows(page).count(), 50, "rows that are kept");
      await page.locator("#gateway-view[data-stale]").waitFor();
    }
    admin.instead = undefined;
    await page.locator("#gateway-notice").waitFor({ state: "hidden" });
    expect(await page.locator("#gateway-view[data-stale]").count(), 0, "stale");
  },

  async console_without_a_gateway_s_figures_says_how_to_get_them(page, url) {
    const asked: string[] = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    // One of another origin is none: this page's figures would be a stranger's.
    for (const config of [{}, { admin: "http://127.0.0.1:9/" }]) {
      await page.route("**/config.json", (route) => route.fulfill({ json: config }));
      await page.goto(`${url}?gateway=none#gateway-view`);
      await page.locator("#connections-empty", { hasText: "pulsewire dev" }).waitFor();
      await page.goto("about:blank");
    }
    expect(
      asked.some((path) => path.includes("connz")),
      false,
      "asked for connections",
    );
  },
};

/** The page as `pulsewire dev` serves it. */
export interface Dev {
  url: string;
  stop(signal: "SIGTERM" | "SIGKILL"): void;
}

export async function startDev(binary: string, pages: string): Promise<Dev> {
  const free = ["port", "admin-port", "gateway-port", "console-port"].flatMap((it) => [`--${it}`, "0"]);
  const child = spawn(binary, ["dev", "--console", pages, ...free], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface(child.stdout)) {
    const url = /^ {2}console {2}(\S+)/.exec(line)?.[1];
    if (url) return { url, stop: (signal) => child.kill(signal) };
  }
  throw new Error("pulsewire dev ended without saying where the console is");
}

/** With the gateway that runs in `pulsewire dev`. */
export async function n02_console_shows_a_gateway_that_runs(page: Page, dev: Dev): Promise<void> {
  await page.goto(`${dev.url}#gateway-view`);
  // The page's own connection, by its origin, carrying bytes both ways.
  const mine = page.locator("#connections-rows tr[data-state=piping]", { hasText: new URL(dev.url).origin }).first();
  await mine.waitFor();
  const cell = async (column: number): Promise<string> => (await mine.locator("td").nth(column).textContent()) ?? "";
  const [upstream, up, down] = [await cell(5), await cell(7), await cell(8)];
  if (!upstream.includes("127.0.0.1")) throw new Error(`the upstream is ${upstream}`);
  if (up === "0 B" || down === "0 B") throw new Error(`the page has sent ${up} and was sent ${down}`);
  await page.locator("#open-now", { hasText: /^[1-9]/ }).waitFor();
  await page.click("#show-topic");
  await page.click("#connect");
  await page.click("#show-gateway");
  await page.click("label:has(input[value=closed])");
  await page.locator("#connections-rows tr[data-state=closed]", { hasText: "client" }).first().waitFor();
  await page.locator("#ended-reasons", { hasText: "client" }).waitFor();
  dev.stop("SIGTERM");
  await page.locator("#gateway-notice", { hasText: "does not answer" }).waitFor();
}
