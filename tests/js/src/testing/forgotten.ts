// A test that forgets to stop its broker: the program ends all the same, and not before what it awaits is there. Each
// word is told when its turn has come; `run.ts` looks for the last one.

import { Client } from "pulsewire";
import { TestBroker } from "pulsewire/testing";

const broker = await TestBroker.start();
const client = broker.client({ initialBackoff: 100, maxBackoff: 300 });
const consumer = await client.subscribe({
  topic: "t",
  subscription: "s",
  type: "shared",
  negativeAckRedeliveryDelay: 300,
});
const producer = await client.createProducer({ topic: "t" });
await producer.send("x");

// A message that comes again by the client's own timer.
consumer.negativeAcknowledge(await consumer.receive());
const again = await consumer.receive();
console.log("received again", again.redeliveryCount);
await consumer.acknowledge(again);

// A receipt that never comes, by the time of the send.
const hasty = await client.createProducer({ topic: "t", sendTimeout: 300 });
broker.failNextSend({ error: "Timeout" });
await hasty.send("y").catch((error) => console.log(error.code));

// Nothing but a connection that comes back.
const back = new Promise<void>((resolve) => {
  client.addEventListener("state", (event) => {
    if (event.state === "connected") resolve();
  });
});
broker.disconnect();
await back;
console.log("connected again");

// A client that nobody closes, of a broker that is gone; opened before it went, and after.
const gone = await TestBroker.start();
const left = new Client({ serviceUrl: gone.serviceUrl });
await left.createProducer({ topic: "t" });
await gone.stop();
const late = new Client({ serviceUrl: gone.serviceUrl, operationTimeout: 300 });
await late.createProducer({ topic: "t" }).catch((error) => console.log(error.code));

// A send that waits for a connection.
broker.setReachable(false);
broker.disconnect();
setTimeout(() => broker.setReachable(true), 200).unref();
await producer.send("z");
await consumer.receive();
console.log("forgotten");
