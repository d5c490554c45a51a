// A test library's fake timers move both sides: the client's own (here: when a message is asked for again) and the broker's
// clock. Nothing waits for it.

import { mock } from "node:test";
import { TestBroker } from "pulsewire/testing";

const real = performance.now();
let ahead = 0;
mock.timers.enable({ apis: ["setTimeout", "Date"] });
performance.now = () => real + ahead;

/** Lets time pass in steps, and what follows from it happen. */
async function tick(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1000) {
    ahead += 1000;
    mock.timers.tick(1000);
    for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve));
  }
}

const broker = await TestBroker.start();
const started = broker.now().getTime();
const client = broker.client();
const consumer = await client.subscribe({
  topic: "t",
  subscription: "s",
  type: "shared",
  negativeAckRedeliveryDelay: 60_000,
});
const producer = await client.createProducer({ topic: "t" });
await producer.send("x");
await consumer.negativeAcknowledge(await consumer.receive());
const again: number[] = [];
const waiting = consumer.receive().then((message) => again.push(message.redeliveryCount));
await tick(50_000);
if (again.length > 0) throw new Error("it came again too early");
await tick(20_000);
await waiting;
if (again[0] !== 1) throw new Error(`redelivery count ${again[0]}`);
const passed = broker.now().getTime() - started;
if (passed !== 70_000) throw new Error(`the broker's clock moved by ${passed} ms`);
await broker.stop();
