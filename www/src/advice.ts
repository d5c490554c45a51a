import { PulsarError } from "pulsewire";

/** An error as the page tells it: what happened, and what the reader can do. */
export interface Advice {
  title: string;
  text: string;
  detail: string;
}

/** Turns an error into something that helps. */
export function advise(error: unknown, doing: string, gateway: string): Advice {
  const detail = error instanceof Error ? error.message : String(error);
  const code = error instanceof PulsarError ? error.code : "";
  return {
    title: `Could not ${doing}`,
    text: remedy(code, gateway),
    detail: code ? `${code}: ${detail}` : detail,
  };
}

function remedy(code: string, gateway: string): string {
  switch (code) {
    case "ConnectError":
    case "ConnectionRefused":
    case "Disconnected":
      return (
        `No connection to ${gateway}. Check that the gateway runs at that address ` +
        `(npm start prints it) and that it allows this page's origin, ${location.origin}.`
      );
    case "Timeout":
      return "The broker did not answer in time. Check that the gateway can reach it, then try again.";
    case "InvalidServiceUrl":
    case "InvalidArgument":
    case "InvalidOption":
      return "Correct the value and try again.";
    case "InvalidTopicName":
      return "Use a plain name such as orders, or the full form persistent://tenant/namespace/topic.";
    case "MessageTooLarge":
      return "Send a smaller payload; the broker's limit is its maxMessageSize.";
    case "QueueFull":
      return "The broker stores slower than you publish. Wait for the pending messages, or send fewer copies.";
    case "AuthenticationError":
    case "AuthorizationError":
      return "The cluster does not let this client do that. Ask for access to the topic, or choose another one.";
    case "TopicNotFound":
      return "The topic does not exist and the broker does not create topics by itself. Create it, or choose another one.";
    case "TopicTerminated":
      return "The topic takes no more messages. Choose another one.";
    case "ProducerBusy":
    case "ConsumerBusy":
      return "Someone else holds that name exclusively. Close the other client or wait until it is gone.";
    case "ModuleLoadFailed":
      return "The browser could not load the client's WebAssembly. Reload the page; if that does not help, update the browser.";
    case "Fatal":
      return "The client has failed and was stopped. Connect again to go on, and please report what is below.";
    default:
      return "Try again. If it keeps failing, the line below says what the client was told.";
  }
}
