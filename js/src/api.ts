export type { ClientBase } from "./client.js";
export { Consumer } from "./consumer.js";
export { PulsarError, type PulsarErrorCode } from "./errors.js";
export { type ClientEventMap, type ClientState, FatalEvent, StateEvent } from "./events.js";
export { Message } from "./message.js";
export { MessageId } from "./message-id.js";
export type {
  ClientOptions,
  ProducerOptions,
  ReceiveOptions,
  SendOptions,
  SubscribeOptions,
  SubscriptionType,
  WaitOptions,
} from "./options.js";
export { Producer } from "./producer.js";
