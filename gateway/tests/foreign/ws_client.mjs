// Cases of RFC 6455, by the npm package `ws`, against a gateway in front of an echo.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import WebSocket from "ws";

const address = process.argv[2];
const url = `ws://${address}/pulsar`;

const ok = (name) => console.log("ok", name);

async function open(protocols = [], options = {}) {
  const ws = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
  ws.bytes = Buffer.alloc(0);
  ws.on("message", (data) => {
    ws.bytes = Buffer.concat([ws.bytes, data]);
    ws.emit("more");
  });
  ws.closed = once(ws, "close").then(([code, reason]) => [code, reason.toString()]);
  ws.on("error", () => {});
  await once(ws, "open");
  return ws;
}

async function received(ws, wanted) {
  while (ws.bytes.length < wanted.length) await once(ws, "more");
  assert.ok(ws.bytes.equals(wanted), "other bytes");
}

for (const size of [1, 125, 126, 65535, 65536, 1 << 20]) {
  const ws = await open();
  const data = randomBytes(size);
  ws.send(data);
  await received(ws, data);
  ws.close();
  assert.equal((await ws.closed)[0], 1005);
  ok(`a message of ${size} bytes`);
}
{
  const ws = await open();
  ws.send("one ", { binary: true, fin: false });
  ws.ping("between");
  ws.send("two ", { fin: false });
  ws.send("", { fin: false });
  ws.send("three", { fin: true });
  const [pong] = await once(ws, "pong");
  assert.equal(pong.toString(), "between");
  await received(ws, Buffer.from("one two three"));
  ok("a ping between fragments");
  ws.terminate();
}
{
  const ws = await open();
  ws.send(Buffer.alloc(0));
  ws.send(Buffer.from("after"));
  await received(ws, Buffer.from("after"));
  ok("an empty message");
  ws.close(4321, "mine");
  assert.equal((await ws.closed)[0], 4321);
  ok("a close code comes back");
}
{
  const ws = await open();
  ws.send("text");
  const [code, reason] = await ws.closed;
  assert.deepEqual([code, reason.split(":")[0]], [1003, "text-message"]);
  ok("text");
}
{
  const ws = await open();
  ws.send(Buffer.alloc((1 << 20) + 1));
  const [code, reason] = await ws.closed;
  assert.deepEqual([code, reason.split(":")[0]], [1009, "message-too-large"]);
  ok("a message that is too large");
}
{
  const ws = await open();
  ws.send(Buffer.from("x"), { mask: false });
  assert.equal((await ws.closed)[0], 1002);
  ok("a frame without a mask");
}
{
  const ws = await open(["other", "pulsewire"]);
  assert.equal(ws.protocol, "pulsewire");
  ok("the subprotocol is chosen");
  ws.terminate();
}
{
  const ws = await open([], { perMessageDeflate: true });
  assert.equal(ws.extensions, "");
  ok("no compression");
  ws.terminate();
}
for (const [what, options, status] of [
  ["an origin that is not listed", { origin: "https://evil.example" }, 403],
  ["another version", { protocolVersion: 8 }, 400],
]) {
  const ws = new WebSocket(url, { perMessageDeflate: false, ...options });
  ws.on("error", () => {});
  const [, response] = await once(ws, "unexpected-response");
  assert.ok(response.statusCode === status || (status === 400 && response.statusCode === 426), what);
  ok(what);
}
{
  const many = await Promise.all(Array.from({ length: 100 }, () => open()));
  await Promise.all(
    many.map(async (ws, n) => {
      const data = Buffer.from(`client ${n}`);
      ws.send(data);
      await received(ws, data);
      ws.close();
      await ws.closed;
    }),
  );
  ok("a hundred at once");
}
