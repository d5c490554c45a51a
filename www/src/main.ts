import "./style.css";
import "./gateway.css";
import "./width.css";
import { Client, type Consumer, type MessageId, type Producer, type StateEvent } from "pulsewire";
import { advise } from "./advice.js";
import { count, element, make } from "./dom.js";
import { Feed } from "./feed.js";
import { GatewayView } from "./gateway.js";
import { Throughput } from "./plot.js";
import { type Draft, setUpPublish } from "./publish.js";
import { setUpTheme } from "./theme.js";

/** What may lie beside the page as config.json. */
interface Config {
  /** URL of the gateway; without it the page's own host. */
  gateway?: string;
  /** Whose topics are listed. */
  namespace?: string;
  /** Opened at once. */
  topic?: string;
  /** Below which the gateway's `connz` and `metrics` are, from the page. */
  admin?: string;
}

/** Sends that wait for their receipts at the same time, when many copies are published. */
const IN_FLIGHT = 500;

const gatewayField = element<HTMLInputElement>("gateway");
const topicField = element<HTMLInputElement>("topic");
const connectButton = element<HTMLButtonElement>("connect");
const openButton = element<HTMLButtonElement>("open");
const publishButton = element<HTMLButtonElement>("publish");
const publishFields = element<HTMLFieldSetElement>("publish-fields");
const earliest = element<HTMLInputElement>("earliest");
const result = element("result");

const feed = new Feed();
const throughput = new Throughput();
const gatewayView = new GatewayView();
let config: Config = {};
let client: Client | undefined;
/** The client whose state is shown: `client`, or the one that is trying to become it. */
let shown: Client | undefined;
let producer: Producer | undefined;
let consumer: Consumer | undefined;
let topics: string[] = [];

function namespace(): string {
  return config.namespace ?? "public/default";
}

/** `orders` for a topic of the namespace that is listed, else the full name. */
function short(topic: string): string {
  const prefix = `persistent://${namespace()}/`;
  return topic.startsWith(prefix) ? topic.slice(prefix.length) : topic;
}

function status(state: string, text: string): void {
  element("status").dataset.state = state;
  // Written only when it changes: a screen reader says it each time.
  const label = element("status-text");
  if (label.textContent !== text) label.textContent = text;
}

function fail(error: unknown, doing: string): void {
  const advice = advise(error, doing, gatewayField.value);
  element("notice-title").textContent = advice.title;
  element("notice-text").textContent = advice.text;
  element("notice-detail").textContent = advice.detail;
  element("notice").hidden = false;
}

function settle(): void {
  element("notice").hidden = true;
}

function showState(event: StateEvent): void {
  const host = hostOf(gatewayField.value);
  const text: Record<typeof event.state, string> = {
    idle: `Connected to ${host}`,
    connecting: `Connecting to ${host}`,
    connected: `Connected to ${host}`,
    disconnected: "Connection lost, trying again",
    closed: "Not connected",
    failed: "Client failed",
  };
  status(event.state === "idle" ? "connected" : event.state, text[event.state]);
  if (event.state === "disconnected" && client !== undefined) {
    // Most breaks are over at once; one that lasts is told with what to do.
    outage ??= setTimeout(() => fail(event.error, "stay connected"), 3000);
  } else if (event.state === "connected" && outage !== undefined) {
    clearTimeout(outage);
    outage = undefined;
    settle();
  }
}

let outage: ReturnType<typeof setTimeout> | undefined;

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

/** Which button comes next, and what they are called. */
function refresh(): void {
  const connected = client !== undefined;
  connectButton.textContent = connected ? "Disconnect" : "Connect";
  connectButton.toggleAttribute("data-lead", !connected);
  gatewayField.readOnly = connected;
  const name = topicField.value.trim();
  const known = name === "" || topics.some((topic) => topic === name || short(topic) === name);
  const current = producer !== undefined && (producer.topic === name || short(producer.topic) === name);
  openButton.textContent = known ? "Open" : "Create";
  openButton.disabled = !connected || name === "";
  openButton.toggleAttribute("data-lead", connected && !current);
  publishFields.disabled = producer === undefined;
  element("topic-hint").textContent = connected
    ? `${topics.length === 1 ? "1 topic" : `${count(topics.length)} topics`} in ${namespace()}. A new name creates one.`
    : "Choose a topic or type a new name to create one.";
  if (!connected) feed.idle("Not connected", "Connect to a gateway, then open a topic.");
  else if (!producer) feed.idle("No topic open", "Open a topic to watch its messages as they arrive.");
  else feed.idle("Nothing here yet", "Publish a message, here or with any other client.");
}

async function busy(button: HTMLButtonElement, work: () => Promise<void>): Promise<void> {
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  try {
    await work();
  } finally {
    button.removeAttribute("aria-busy");
    button.disabled = false;
    refresh();
  }
}

async function connect(): Promise<void> {
  settle();
  let made: Client;
  try {
    made = new Client({ serviceUrl: gatewayField.value.trim(), operationTimeout: 10_000 });
  } catch (error) {
    fail(error, "connect");
    return;
  }
  const stop = new AbortController();
  shown = made;
  status("connecting", `Connecting to ${hostOf(gatewayField.value)}`);
  made.addEventListener("state", (event) => {
    if (shown !== made) return;
    showState(event);
    // The first attempt decides: a person at a form wants to know now, not when the operation's time is over.
    if (client !== made && event.state === "disconnected") stop.abort(event.error);
  });
  made.addEventListener("fatal", (event) => {
    if (client !== made) return;
    forget();
    refresh();
    status("failed", "Client failed");
    fail(event.error, "go on");
  });
  try {
    topics = await made.topics(namespace(), { signal: stop.signal });
  } catch (error) {
    shown = undefined;
    status("failed", "Not connected");
    fail(error, "connect");
    await made.close().catch(() => {});
    return;
  }
  client = made;
  status("connected", `Connected to ${hostOf(gatewayField.value)}`);
  listTopics();
}

function listTopics(): void {
  element("topics").replaceChildren(
    ...topics.map((topic) => {
      const option = make("option");
      option.value = short(topic);
      return option;
    }),
  );
}

function forget(): void {
  client = undefined;
  shown = undefined;
  producer = undefined;
  consumer = undefined;
  topics = [];
  listTopics();
}

/** Leaves the open topic, and no subscription behind. */
async function leave(): Promise<void> {
  const closing = [producer?.close(), consumer?.unsubscribe()];
  producer = undefined;
  consumer = undefined;
  await Promise.allSettled(closing);
}

async function disconnect(): Promise<void> {
  const closing = client;
  await leave();
  forget();
  refresh();
  await closing?.close().catch(() => {});
  status("idle", "Not connected");
}

async function openTopic(): Promise<void> {
  if (!client) return;
  settle();
  const using = client;
  const topic = topicField.value.trim();
  await leave();
  try {
    const opened = await using.subscribe({
      topic,
      subscription: `pulsewire-console-${crypto.randomUUID().slice(0, 8)}`,
      initialPosition: earliest.checked ? "earliest" : "latest",
    });
    const made = await using.createProducer({ topic }).catch(async (error) => {
      await opened.close().catch(() => {});
      throw error;
    });
    consumer = opened;
    producer = made;
  } catch (error) {
    fail(error, `open ${topic}`);
    return;
  }
  feed.clear();
  result.textContent = "";
  refreshTitle();
  remember();
  void watch(consumer);
  topics = await using.topics(namespace()).catch(() => topics);
  listTopics();
}

/** Gives the page an address that opens the same again. */
function remember(): void {
  const address = new URL(location.href);
  if (producer) address.searchParams.set("topic", short(producer.topic));
  history.replaceState(null, "", address);
}

async function watch(watched: Consumer): Promise<void> {
  try {
    for await (const message of watched) {
      throughput.received += 1;
      feed.add(message);
      // One acknowledgement answers for all before it.
      if (throughput.received % 100 === 0) await watched.acknowledgeCumulative(message);
    }
  } catch (error) {
    if (consumer === watched) fail(error, "go on receiving");
  }
}

async function publish(draft: Draft): Promise<void> {
  const to = producer;
  if (!to) return;
  settle();
  publishButton.disabled = true;
  result.textContent = draft.copies > 1 ? `Publishing ${count(draft.copies)} messages…` : "Publishing…";
  const started = performance.now();
  try {
    let last: MessageId | undefined;
    for (let sent = 0; sent < draft.copies; sent += IN_FLIGHT) {
      const some = Math.min(IN_FLIGHT, draft.copies - sent);
      const ids = await Promise.all(Array.from({ length: some }, () => to.send(draft.payload, draft.options)));
      throughput.published += some;
      last = ids.at(-1);
    }
    const took = performance.now() - started;
    const time = took < 1000 ? `${Math.max(1, Math.round(took))} ms` : `${(took / 1000).toFixed(1)} s`;
    const stored = draft.copies > 1 ? `${count(draft.copies)} messages stored, the last as` : "Stored as";
    result.textContent = `${stored} ${last} in ${time}`;
  } catch (error) {
    result.textContent = "Not published";
    fail(error, "publish");
  } finally {
    publishButton.disabled = false;
  }
}

/** Shows the topic or the gateway, as the address says. */
function showView(): void {
  const gateway = location.hash === "#gateway-view";
  // Other fragments are places within a view.
  if (!gateway && location.hash !== "" && location.hash !== "#topic-view") return;
  element("topic-view").hidden = gateway;
  gatewayView.show(gateway);
  for (const [id, current] of [
    ["show-topic", !gateway],
    ["show-gateway", gateway],
  ] as const) {
    if (current) element(id).setAttribute("aria-current", "page");
    else element(id).removeAttribute("aria-current");
  }
  const skip = element<HTMLAnchorElement>("skip");
  skip.href = gateway ? "#connections-scroll" : "#feed";
  skip.textContent = gateway ? "Skip to connections" : "Skip to messages";
  refreshTitle();
}

function refreshTitle(): void {
  const gateway = !element("gateway-view").hidden;
  const what = gateway ? "Gateway" : producer && short(producer.topic);
  document.title = what ? `${what} · pulsewire console` : "pulsewire console";
}

async function readConfig(): Promise<Config> {
  try {
    const response = await fetch("config.json", { cache: "no-store" });
    return response.ok ? ((await response.json()) as Config) : {};
  } catch {
    return {}; // There need not be one.
  }
}

element("connect-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void busy(connectButton, client ? disconnect : connect).then(() => client && topicField.focus());
});
element("topic-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void busy(openButton, openTopic).then(() => producer && element("payload").focus());
});
topicField.addEventListener("input", refresh);
topicField.addEventListener("focus", async () => {
  if (!client) return;
  topics = await client.topics(namespace()).catch(() => topics);
  listTopics();
  refresh();
});
element("notice-close").addEventListener("click", settle);
setUpPublish(publish);
setUpTheme(() => {
  throughput.draw();
  gatewayView.draw();
});
addEventListener("hashchange", showView);
addEventListener("pagehide", () => void disconnect().catch(() => {}));
addEventListener("pageshow", (event) => {
  // From the back-forward cache: the sockets are gone.
  if (event.persisted) location.reload();
});

refresh();
showView();
config = await readConfig();
gatewayView.from(config.admin);
const asked = new URLSearchParams(location.search);
const here = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/`;
gatewayField.value = asked.get("gateway") ?? config.gateway ?? here;
topicField.value = asked.get("topic") ?? config.topic ?? "";
// A link can fill in a gateway, but only this page's own is connected to unasked.
if (!asked.has("gateway") || asked.get("gateway") === config.gateway) {
  await busy(connectButton, connect);
  if (client && topicField.value !== "") await busy(openButton, openTopic);
}
refresh();
