// The npm package `ws`: subscribes to `execs` and prints what came as one line of JSON.
//
//     node ws_client.mjs ws://127.0.0.1:8124/ws
import WebSocket from "ws";

const WANTED = 3;
const seen = { client: "ws", protocol: null, welcome: null, subscribed: null, messages: [], close: null };
const socket = new WebSocket(process.argv[2], "pubsub.v1");

socket.on("open", () => {
  seen.protocol = socket.protocol;
  socket.send(JSON.stringify({ op: "subscribe", id: "first", topic: "execs" }));
});
socket.on("message", (data, binary) => {
  if (binary) throw new Error("a binary frame");
  const frame = JSON.parse(data);
  if (frame.op === "welcome") seen.welcome = frame;
  else if (frame.op === "subscribed") seen.subscribed = frame;
  else if (frame.op === "msg" && seen.messages.push(frame) === WANTED) socket.close(1000, "seen enough");
  else if (frame.op === "error") throw new Error(data);
});
socket.on("close", (code) => {
  seen.close = code;
  seen.messages.length = Math.min(seen.messages.length, WANTED);
  console.log(JSON.stringify(seen));
});
