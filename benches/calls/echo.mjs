// A WebSocket echo by whatever is installed: uWebSockets.js under the first folder, else ws under any of them. Prints its name,
// version and port, and ends with its standard input.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const folders = process.argv.slice(2).map((folder) => resolve(folder));

// Beside its files, whatever a package exports.
function installed(name) {
  for (const folder of folders) {
    try {
      const { version } = JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json")));
      return { version, module: createRequire(join(folder, "package.json"))(name) };
    } catch (error) {
      if (error.code !== "ENOENT") console.error(`echo.mjs: ${name} in ${folder}: ${error.message}`);
    }
  }
}

function ready(name, version, port) {
  process.stdout.write(`${name} ${version} ${port}\n`);
}

// One that was published again has an imitation in JavaScript for where its native part doesn't load: that is not what is meant.
function native(found) {
  return found && `${found.module.App}`.includes("[native code]") ? found : undefined;
}

const uws = native(installed("uWebSockets.js")) ?? native(installed("@trufflesuite/uws-js-unofficial"));
const ws = uws ? undefined : installed("ws");
if (uws) {
  const { App, us_socket_local_port: portOf } = uws.module;
  App()
    .ws("/*", { idleTimeout: 0, maxPayloadLength: 1 << 20, message: (socket, text, binary) => socket.send(text, binary) })
    .listen("127.0.0.1", 0, (token) => ready("uWebSockets.js", uws.version, portOf(token)));
} else if (ws) {
  const server = new ws.module.WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
  server.on("connection", (socket) => socket.on("message", (text, binary) => socket.send(text, { binary })));
  server.on("listening", () => ready("ws", ws.version, server.address().port));
} else {
  process.exit(1);
}
process.stdin.resume().on("end", () => process.exit(0));
