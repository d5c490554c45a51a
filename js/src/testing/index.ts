/**
 * A Pulsar broker inside a test: in Node and in a page, without a server.
 *
 * @example
 * ```ts
 * import { TestBroker } from "pulsewire/testing";
 *
 * const broker = await TestBroker.start();
 * const client = broker.client();
 * const consumer = await client.subscribe({ topic: "orders", subscription: "kitchen" });
 * const producer = await client.createProducer({ topic: "orders" });
 * await producer.send("one coffee");
 * const message = await consumer.receive({ timeout: 1000 });
 * await consumer.acknowledge(message);
 * await broker.stop();
 * ```
 *
 * @packageDocumentation
 */

export {
  type CreateTopicOptions,
  type FailNextSendOptions,
  type SendError,
  TestBroker,
  type TestConnection,
  type TestSubscription,
} from "./broker.js";
export type { TestBrokerOptions } from "./options.js";
export { StoredMessage } from "./stored-message.js";
