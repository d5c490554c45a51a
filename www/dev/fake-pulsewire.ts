// Stands for the package `pulsewire` when the console is built with PULSEWIRE_FAKE=1: a core without a cluster, with
// traffic made up. For looking at the page.

import type { ClientOptions } from "pulsewire";
import { FakeCore, instanceOf } from "../../tests/js/src/fake-core.js";
import { BaseClient } from "../../tests/js/src/internals.js";

export * from "../../js/dist/api.js";

const core = new FakeCore();
core.ledger = 1127n;
const encoder = new TextEncoder();
const TOPIC = "persistent://public/default/orders";
core.topics.set("persistent://public/default/telemetry", []);
core.topics.set("persistent://public/default/sign-ups", []);

const names = ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Zoë"];
let number = 0;
function publish(): void {
  number += 1;
  const kind = ["created", "paid", "shipped"][number % 3] ?? "created";
  const payload =
    number % 11 === 0
      ? Uint8Array.from({ length: 40 }, (_, index) => (index * 37 + number) & 255)
      : encoder.encode(
          JSON.stringify({
            order: 10_000 + number,
            customer: names[number % names.length],
            total: (number * 7.31) % 200,
            items: [{ sku: `A-${number % 40}`, quantity: 1 + (number % 4) }],
          }),
        );
  core.publish(TOPIC, {
    payload,
    producerName: "shop-7",
    ...(number % 4 === 0 ? {} : { key: `customer-${number % 17}` }),
    ...(number % 3 === 0 ? {} : { properties: ["kind", kind, "region", number % 2 ? "eu-west" : "us-east"] }),
  });
}
for (let count = 0; count < 40; count++) publish();

const wanted = new URLSearchParams(location.search).get("rate");
const rate = wanted === null ? 60 : Number(wanted);
let owed = 0;
setInterval(() => {
  owed += (rate / 20) * (0.6 + 0.4 * Math.sin(Date.now() / 4000));
  for (; owed >= 1; owed--) publish();
}, 50);

export class Client extends BaseClient {
  constructor(options: ClientOptions) {
    super(options, { ready: async () => instanceOf(core) });
    if (options.serviceUrl.includes("refused")) {
      core.failures.push({
        code: "ConnectError",
        message: `cannot connect to ${options.serviceUrl}: the WebSocket was closed before it was open (1006)`,
        retryable: true,
      });
    }
  }
}

export async function ready(): Promise<void> {}
