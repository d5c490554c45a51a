// A page in Chromium that speaks to a broker through a TLS gateway and a Pulsar proxy, each of which asks for a token.
//
//   node out/guarded/run.js [--results directory]
//
// Leaves what the pages looked like beside its results: guarded.png, guarded-token-expired.png and so on.
//
// The broker and its proxy come from the environment: PULSAR_GUARDED_PROXY_URL_TLS, PULSAR_GUARDED_WEB_URL,
// PULSAR_GUARDED_DATA (see xtask/src/suites.rs). PULSEWIRE_BINARY names the binary `pulsewire`.
//
// The page has a token for the gateway, made with the gateway's key. The gateway has one for Pulsar, made with Pulsar's
// key, of a role that may produce and consume and nothing else. Neither key opens the other's door.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash, createHmac, randomBytes, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Browser, Page } from "playwright-core";
import { launch } from "../chromium.js";
import type { Result } from "../harness.js";
import { type Site, serve } from "../server.js";

const root = resolve(fileURLToPath(new URL("../../../..", import.meta.url)));
const { values } = parseArgs({
  options: {
    results: { type: "string", default: join(root, "target/results") },
  },
});
const proxyUrl = needed("PULSAR_GUARDED_PROXY_URL_TLS");
const webUrl = needed("PULSAR_GUARDED_WEB_URL");
const data = needed("PULSAR_GUARDED_DATA");
const binary = needed("PULSEWIRE_BINARY");

function needed(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

/** A JWT by HS256. */
function jwt(secret: Buffer, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;
const ROLE = "shop";
const gatewaySecret = Buffer.from(randomBytes(48).toString("base64url"));
const pulsarSecret = readFileSync(join(data, "secret.key"));
const tokens = {
  page: jwt(gatewaySecret, { sub: "visitor-1", exp: inSeconds(600) }),
  expired: jwt(gatewaySecret, { sub: "visitor-1", exp: inSeconds(-600) }),
  /** Pulsar would take it, the gateway must not. */
  bad: jwt(pulsarSecret, { sub: "visitor-1", exp: inSeconds(600) }),
  /** The gateway's key, and nobody that it has a Pulsar token for. */
  unmapped: jwt(gatewaySecret, { sub: "stranger", exp: inSeconds(600) }),
  pulsar: jwt(pulsarSecret, { sub: ROLE }),
};
const admin = jwt(pulsarSecret, { sub: "admin" });

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (typeof address !== "object" || !address) throw new Error("no port");
  return address.port;
}

/** The gateway as a process, with all that it has written. */
class Gateway {
  readonly #child: ChildProcess;
  readonly port: number;
  readonly admin: string;
  log = "";

  private constructor(directory: string, port: number, adminPort: number) {
    this.port = port;
    this.admin = `http://127.0.0.1:${adminPort}`;
    const config = join(directory, "gateway.toml");
    this.#child = spawn(binary, ["gateway", "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
      // All that it could say.
      env: { ...process.env, RUST_LOG: "trace" },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (bytes) => {
        this.log += bytes;
      });
  }

  static async start(directory: string, origin: string): Promise<Gateway> {
    const [port, adminPort] = [await freePort(), await freePort()];
    writeFileSync(join(directory, "gateway.key"), gatewaySecret);
    writeFileSync(join(directory, "pulsar.jwt"), tokens.pulsar);
    const text = JSON.stringify;
    writeFileSync(
      join(directory, "gateway.toml"),
      `listen = "127.0.0.1:${port}"
admin_listen = "127.0.0.1:${adminPort}"
upstream = ${text(proxyUrl)}
allow_origins = [${text(origin)}]
[tls]
certificates = ${text(join(data, "server.pem"))}
key = ${text(join(data, "server-key.pem"))}
[upstream_tls]
authorities = ${text(join(data, "ca.pem"))}
[tokens]
from = ["query:token"]
secret_files = ["gateway.key"]
[[tokens.pulsar]]
subject = "visitor-*"
file = "pulsar.jwt"
`,
    );
    const gateway = new Gateway(directory, port, adminPort);
    for (let tries = 0; tries < 200; tries++) {
      const ready = await fetch(`${gateway.admin}/readyz`).catch(() => undefined);
      if (ready?.ok) return gateway;
      await new Promise((done) => setTimeout(done, 50));
    }
    gateway.#child.kill("SIGKILL");
    throw new Error(`the gateway is not ready: ${gateway.log}`);
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.#child.once("exit", done));
    // Twice: all connections at once.
    this.#child.kill("SIGTERM");
    this.#child.kill("SIGTERM");
    await ended;
  }
}

/** What a page does, and what it says of it. */
interface Outcome {
  said: string[];
  code?: string;
  message?: string;
  seconds: number;
}

const PAGE = `import { Client } from "pulsewire";
const list = document.querySelector("ol");
window.run = async (serviceUrl, topic) => {
  const said = [];
  const say = (text) => {
    said.push(text);
    const line = document.createElement("li");
    line.textContent = text;
    list.append(line);
  };
  const started = performance.now();
  const outcome = { said };
  const client = new Client({ serviceUrl, operationTimeout: 15000 });
  try {
    const consumer = await client.subscribe({ topic, subscription: "page", initialPosition: "earliest" });
    const producer = await client.createProducer({ topic });
    for (let n = 0; n < 10; n++) await producer.send("greeting " + n);
    for (let n = 0; n < 10; n++) {
      const message = await consumer.receive();
      say(message.text());
      await consumer.acknowledge(message);
    }
  } catch (error) {
    outcome.code = error.code;
    outcome.message = error.message;
    say("refused: " + error.code + ": " + error.message);
  }
  outcome.seconds = (performance.now() - started) / 1000;
  await client.close();
  return outcome;
};`;

interface World {
  browser: Browser;
  site: Site;
  gateway: Gateway;
  /** All that pages wrote to their consoles. */
  consoles: string[];
}

async function visit(world: World, token: string | undefined, topic: string, shot?: string): Promise<Outcome> {
  const page: Page = await world.browser.newPage();
  page.on("console", (message) => world.consoles.push(message.text()));
  page.on("pageerror", (error) => world.consoles.push(String(error)));
  try {
    await page.goto(world.site.origin);
    await page.waitForFunction(() => "run" in window);
    const url = `wss://localhost:${world.gateway.port}/pulsar${token === undefined ? "" : `?token=${token}`}`;
    const outcome = await page.evaluate(
      ([url, topic]) => (window as unknown as { run(url: string, topic: string): Promise<Outcome> }).run(url, topic),
      [url, topic] as const,
    );
    if (shot) await page.screenshot({ path: join(values.results, `${shot}.png`) });
    return outcome;
  } finally {
    await page.close();
  }
}

function expect(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: ${found}, expected ${wanted}`);
}

async function asAdmin(method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`${webUrl}/admin/v2/${path}`, {
    method,
    headers: { authorization: `Bearer ${admin}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function isRefused(world: World, token: string | undefined, name: string): Promise<void> {
  const { code, message, seconds, said } = await visit(world, token, "guarded", `guarded-${name}`);
  expect(code, "ConnectionRefused", `the error's code (${said.join("; ")})`);
  if (!message?.includes(name)) throw new Error(`the error does not say ${name}: ${message}`);
  if (token && message.includes(token)) throw new Error("the error shows the token");
  if (seconds > 5) throw new Error(`told after ${seconds} s`);
}

const tests: Record<string, (world: World) => Promise<void>> = {
  async n02_page_through_tls_gateway_and_proxy_with_a_token_at_each_step(world) {
    const { said, code, message } = await visit(world, tokens.page, "guarded", "guarded");
    expect(code, undefined, message ?? "an error");
    expect(said.join(), Array.from({ length: 10 }, (_, n) => `greeting ${n}`).join(), "received");
    // Who Pulsar took it for is known only by what it let it do.
    const anybody = await fetch(`${webUrl}/admin/v2/persistent/public/default`);
    expect(anybody.status, 401, "Pulsar without a token");
    const other = await visit(world, tokens.page, "persistent://public/closed/guarded");
    expect(other.code, "AuthorizationError", `where the role may do nothing (${other.message})`);
  },
  n02_page_with_a_bad_token_is_refused: (world) => isRefused(world, tokens.bad, "token-signature"),
  n02_page_with_an_expired_token_is_refused: (world) => isRefused(world, tokens.expired, "token-expired"),
  n02_page_with_no_token_is_refused: (world) => isRefused(world, undefined, "token-missing"),
  n02_page_of_a_subject_without_a_pulsar_token_is_refused: (world) =>
    isRefused(world, tokens.unmapped, "token-unmapped"),
  async n02_no_token_is_logged_or_shown(world) {
    const shown: [string, string][] = [
      ["the gateway's log", world.gateway.log],
      ["the pages' consoles", world.consoles.join("\n")],
    ];
    for (const path of ["/metrics", "/connz?state=all"])
      shown.push([path, await (await fetch(world.gateway.admin + path)).text()]);
    for (const server of readdirSync(data)) {
      const log = join(data, server, "output.log");
      if (existsSync(log)) shown.push([`the log of ${server}`, readFileSync(log, "utf8")]);
    }
    expect(shown.length, 6, "places that were looked at");
    for (const [place, text] of shown) {
      if (place.startsWith("the gateway") && !text.includes("token-expired"))
        throw new Error("the gateway's log does not say what it refused");
      for (const [name, token] of Object.entries({ ...tokens, admin })) {
        // Its signature alone is as good as the whole of it beside what can be guessed.
        const [, claims, signature] = token.split(".");
        for (const part of [claims, signature])
          if (part && text.includes(part)) throw new Error(`${place} shows the token ${name}`);
      }
    }
  },
};

mkdirSync(values.results, { recursive: true });
const directory = mkdtempSync(join(tmpdir(), "pulsewire-guarded-"));
// The page is trusted to be at the gateway's own certificate and at no other.
const certificate = new X509Certificate(readFileSync(join(data, "server.pem")));
const key = certificate.publicKey.export({ type: "spki", format: "der" });
const pin = createHash("sha256").update(key).digest("base64");
const imports = JSON.stringify({ imports: { pulsewire: "/js/dist/index.js" } });
const site = await serve(root, {
  allowed: ["js/dist", "js/wasm"],
  pages: {
    "/": `<!doctype html><title>guarded</title><link rel="icon" href="data:,">
<script type="importmap">${imports}</script><h1>Through the gateway</h1><ol></ol>
<script type="module" src="/page.js"></script>`,
    "/page.js": PAGE,
  },
});
let passed = 0;
let failed = 0;
const lines: string[] = [];
let gateway: Gateway | undefined;
let browser: Browser | undefined;
try {
  gateway = await Gateway.start(directory, site.origin);
  browser = await launch([`--ignore-certificate-errors-spki-list=${pin}`]);
  const granted = await asAdmin("POST", `namespaces/public/default/permissions/${ROLE}`, ["produce", "consume"]);
  if (!granted.ok) throw new Error(`no permissions: ${granted.status} ${await granted.text()}`);
  const made = await asAdmin("PUT", "namespaces/public/closed", {});
  if (!made.ok) throw new Error(`no namespace: ${made.status} ${await made.text()}`);
  const world = { browser, site, gateway, consoles: [] };
  for (const [name, test] of Object.entries(tests)) {
    const started = performance.now();
    let detail = "";
    try {
      await test(world);
      passed += 1;
    } catch (error) {
      detail = error instanceof Error ? error.message : String(error);
      failed += 1;
    }
    const result: Result = {
      name,
      row: "N02",
      world: "js",
      transport: "ws",
      witness: "Apache Pulsar 4.0.8 proxy",
      status: detail ? "failed" : "passed",
      seconds: Math.round(performance.now() - started) / 1000,
      detail,
      runtime: "chromium",
    };
    lines.push(`${JSON.stringify(result)}\n`);
    console.log(`${detail ? "FAIL" : "ok  "} ${name} (guarded, ${result.seconds.toFixed(2)} s)`);
    if (detail) console.log(`     ${detail}`);
  }
} finally {
  await browser?.close();
  await gateway?.stop();
  await site.close();
  rmSync(directory, { recursive: true, force: true });
}
writeFileSync(join(values.results, "js-guarded.jsonl"), lines.join(""));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
