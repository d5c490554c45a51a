// Builds the console over the fake core and takes its picture, wide and narrow, light and dark, in the states that a
// person meets. For looking at, after `npm run build -w tests/js`: node www/dev/screens.mjs <directory>

import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { build, preview } from "vite";
import { FakeAdmin } from "../../tests/js/out/console/fake-admin.js";
import { openView } from "../../tests/js/out/console/gateway.js";

const www = fileURLToPath(new URL("..", import.meta.url));
const into = resolve(process.argv[2] ?? join(tmpdir(), "pulsewire-screens"));
mkdirSync(into, { recursive: true });

process.env.PULSEWIRE_FAKE = "1";
const outDir = join(tmpdir(), "pulsewire-console-fake");
await build({ root: www, logLevel: "warn", build: { outDir, emptyOutDir: true } });
const server = await preview({ root: www, build: { outDir }, preview: { port: 0, host: "127.0.0.1" } });
const origin = server.resolvedUrls.local[0];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu"],
});

const sizes = { wide: { width: 1360, height: 860 }, narrow: { width: 390, height: 844 } };
for (const colorScheme of ["light", "dark"]) {
  for (const [name, viewport] of Object.entries(sizes)) {
    const page = await browser.newPage({ viewport, colorScheme, deviceScaleFactor: 1 });
    page.on("pageerror", (error) => console.log("page error:", error.stack));
    page.on("console", (line) => line.type() === "error" && console.log("console:", line.text()));
    const shot = (state) =>
      page.screenshot({
        path: join(into, `${name}-${colorScheme}-${state}.png`),
        fullPage: name === "narrow",
      });
    await page.goto(`${origin}?topic=orders`);
    await page.waitForSelector(".message");
    await page.fill("#payload", '{"hello": "world"}');
    await page.fill("#key", "greeting");
    await page.click("#add-property");
    await page.keyboard.type("kind");
    await page.keyboard.press("Tab");
    await page.keyboard.type("demo");
    await page.keyboard.press("Control+Enter");
    await page.waitForTimeout(9000);
    await shot("live");
    await page.focus("#feed");
    for (let step = 0; step < 4; step++) await page.keyboard.press("ArrowDown");
    await page.waitForTimeout(600);
    await shot("detail");
    await page.goto(`${origin}?gateway=ws://refused.example:8080/`);
    await page.click("#connect");
    await page.waitForSelector("#notice:not([hidden])");
    await shot("error");

    const admin = new FakeAdmin();
    await openView(page, origin, admin);
    await page.waitForTimeout(9000);
    await shot("gateway");
    await page.click("label:has(input[value=closed])");
    await page.click("th:nth-child(9) button");
    await page.waitForSelector("tr[data-state=closed]");
    admin.lameDuck = true;
    await page.waitForTimeout(1500);
    await shot("gateway-closed-lame-duck");
    admin.instead = "cut";
    await page.waitForSelector("#gateway-view[data-stale]");
    await shot("gateway-away");
    admin.instead = "late";
    await page.reload();
    await page.waitForTimeout(500);
    await shot("gateway-loading");
    Object.assign(admin, { instead: undefined, open: 0, closed: 0, lameDuck: false });
    await page.reload();
    await page.waitForTimeout(2500);
    await shot("gateway-empty");
    await page.unroute("**/config.json");
    await page.reload();
    await page.waitForTimeout(500);
    await shot("gateway-absent");
    await page.close();
  }
}
// How smooth it stays: frames in three seconds while messages pour in.
const page = await browser.newPage({ viewport: sizes.wide });
await page.goto(`${origin}?topic=orders&rate=20000`);
await page.waitForSelector(".message");
const frames = await page.evaluate(
  () =>
    new Promise((done) => {
      let count = 0;
      const end = performance.now() + 3000;
      const tick = () => {
        count += 1;
        if (performance.now() < end) requestAnimationFrame(tick);
        else done(count / 3);
      };
      requestAnimationFrame(tick);
    }),
);
console.log(`${frames.toFixed(0)} frames/s while ${await page.textContent("#rate-in")} messages/s arrive`);
await browser.close();
await server.close();
console.log(into);
