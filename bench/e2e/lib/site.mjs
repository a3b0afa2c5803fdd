// Serves the test page and livekit-client as npm delivers it.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const file = (rel) => fileURLToPath(new URL(`../${rel}`, import.meta.url));
const routes = {
  "/": [file("page/index.html"), "text/html; charset=utf-8"],
  "/client.mjs": [file("page/client.mjs"), "text/javascript"],
  "/livekit-client.umd.js": [file("node_modules/livekit-client/dist/livekit-client.umd.js"), "text/javascript"],
};

export async function site() {
  const server = createServer(async (req, res) => {
    const route = routes[new URL(req.url, "http://x").pathname];
    if (!route) return void res.writeHead(404).end();
    try {
      const body = await readFile(route[0]);
      res.writeHead(200, { "Content-Type": route[1] }).end(body);
    } catch (err) {
      res.writeHead(500).end(String(err));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}
