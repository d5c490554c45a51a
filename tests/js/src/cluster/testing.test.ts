import { type Client, type Consumer, type Message, PulsarError } from "pulsewire";
import { TestBroker } from "pulsewire/testing";
import { equal, test } from "../harness.js";

const soon = { timeout: 10_000 };

/** What a user of one client does on a topic, and what comes of it, word by word. */
async function heard(client: Client, topic: string): Promise<string[]> {
  const heard: string[] = [];
  const refusal = async (promise: Promise<unknown>, what: string): Promise<void> => {
    const outcome = await promise.then(
      () => what,
      (error) => (error instanceof PulsarError ? `refused: ${error.code} ${error.retryable}` : String(error)),
    );
    heard.push(outcome);
  };
  const show = (message: Message): string =>
    [message.text(), message.key, JSON.stringify(message.properties), message.redeliveryCount].join(" ");
  const receive = async (consumer: Consumer): Promise<Message> => {
    const message = await consumer.receive(soon);
    heard.push(show(message));
    return message;
  };

  const producer = await client.createProducer({ topic, name: "only-one" });
  await refusal(client.createProducer({ topic, name: "only-one" }), "two producers of one name");
  const consumer = await client.subscribe({
    topic,
    subscription: "shared",
    type: "shared",
    negativeAckRedeliveryDelay: 100,
  });
  await refusal(client.subscribe({ topic, subscription: "shared" }), "two types of one subscription");
  const ids: string[] = [];
  for (let n = 0; n < 5; n++) {
    ids.push(`${await producer.send(`m${n}`, { key: "k", properties: { n: String(n) } })}`);
  }
  for (let n = 0; n < 5; n++) {
    const message = await receive(consumer);
    heard.push(`its place: ${ids.indexOf(`${message.id}`)}`);
    if (n === 3) await consumer.negativeAcknowledge(message);
    else await consumer.acknowledge(message);
  }
  await consumer.acknowledge(await receive(consumer));
  const all = await client.subscribe({ topic, subscription: "all", initialPosition: "earliest" });
  for (let n = 0; n < 5; n++) await receive(all);
  await refusal(client.subscribe({ topic, subscription: "all" }), "two exclusive consumers");
  heard.push(`partitions: ${await client.partitions(topic)}`);
  await refusal(client.createProducer({ topic: "a/b" }), "no topic's name");
  await all.unsubscribe();
  await producer.close();
  await refusal(producer.send("late"), "a send after the end");
  return heard;
}

test("n09_the_test_broker_tells_what_the_endpoint_tells", async (context) => {
  await using broker = await TestBroker.start();
  const topic = context.topic();
  const there = await heard(context.client(), topic);
  const here = await heard(broker.client(), topic);
  equal(here, there);
});
