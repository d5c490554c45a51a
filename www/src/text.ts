import type { Message } from "pulsewire";

const decoder = new TextDecoder("utf-8");
const strict = new TextDecoder("utf-8", { fatal: true });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** `14:03:07.042` */
export function time(ms: number): string {
  return `${clock.format(ms)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;
}

/** The start of a payload in one line; bytes that are no text as hex. */
export function preview(message: Message): string {
  if (message.isNull) return "null";
  const head = message.data.subarray(0, 200);
  const text = decoder.decode(head, { stream: message.size > head.length });
  decoder.decode();
  return isText(text) ? text.replace(/\s+/g, " ") : hex(message.data.subarray(0, 32), " ");
}

/** Payloads longer than this are shown in part. */
const SHOWN = 64 * 1024;

/** A whole payload, JSON indented, bytes as a dump; with a note of what it is. */
export function full(message: Message): { text: string; kind: string } {
  if (message.isNull) return { text: "null", kind: "null value (tombstone)" };
  if (message.size === 0) return { text: "", kind: "empty" };
  const part = message.size > SHOWN;
  const bytes = message.data.subarray(0, SHOWN);
  const suffix = part ? `, the first ${SHOWN / 1024} KiB shown` : "";
  let text: string | undefined;
  try {
    text = part ? decoder.decode(bytes) : strict.decode(bytes);
  } catch {
    // Not text.
  }
  if (text === undefined || !isText(text)) return { text: dump(bytes.subarray(0, 4096)), kind: `binary${suffix}` };
  if (!part && /^\s*[[{]/.test(text)) {
    try {
      return { text: JSON.stringify(JSON.parse(text), null, 2), kind: "JSON" };
    } catch {
      // Text that begins like JSON.
    }
  }
  return { text, kind: `text${suffix}` };
}

function isText(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what tells bytes from text
  return !/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(text);
}

function hex(bytes: Uint8Array, between: string): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(between);
}

function dump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const line = bytes.subarray(at, at + 16);
    const shown = Array.from(line, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex(line, " ").padEnd(47)}  ${shown}`);
  }
  return lines.join("\n");
}
