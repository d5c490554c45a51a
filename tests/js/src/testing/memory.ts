// What brokers hold goes with them: hundreds that come and go take no more memory than a few, and one that was large gives
// its memory back although the test still holds the broker. Wants `node --expose-gc`.

import { Client } from "pulsewire";
import { TestBroker } from "pulsewire/testing";

const MB = 1024 * 1024;
const { gc } = globalThis as { gc?: () => void };
if (!gc) throw new Error("run it with node --expose-gc");

/** Megabytes of the process, once what nobody holds is gone. */
async function held(): Promise<number> {
  for (let n = 0; n < 5; n++) {
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage().rss / MB;
}

async function fill(broker: TestBroker, megabytes: number): Promise<void> {
  const client = new Client({ serviceUrl: broker.serviceUrl });
  const producer = await client.createProducer({ topic: "t" });
  for (let n = 0; n < megabytes; n++) await producer.send(new Uint8Array(MB));
  await client.close();
}

async function rounds(count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const broker = await TestBroker.start();
    await fill(broker, 2);
    await broker.stop();
  }
}

await rounds(50);
const before = await held();
await rounds(300);
const after = await held();
console.log(`300 brokers of 2 MB, one after the other: ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after`);
if (after > before + 30) throw new Error("brokers that were stopped hold memory");

const large = await TestBroker.start();
await fill(large, 60);
const full = await held();
await large.stop();
const empty = await held();
console.log(`one of 60 MB: ${full.toFixed(0)} MB while it runs, ${empty.toFixed(0)} MB after`);
if (empty > full - 40) throw new Error("a broker that was stopped holds its memory");
