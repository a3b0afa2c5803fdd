// Serves the test pages, and livekit-client with its workers as npm delivers them.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const file = (rel) => fileURLToPath(new URL(`../${rel}`, import.meta.url));
const types = { ".html": "text/html; charset=utf-8", ".mjs": "text/javascript", ".js": "text/javascript", ".css": "text/css" };
const routes = {
  "/": file("page/index.html"),
  "/client.mjs": file("page/client.mjs"),
  "/media.mjs": file("page/media.mjs"),
  "/livekit-client.umd.js": file("node_modules/livekit-client/dist/livekit-client.umd.js"),
  "/livekit-client.e2ee.worker.js": file("node_modules/livekit-client/dist/livekit-client.e2ee.worker.js"),
};

/** Serves on one address; extra maps more paths to files. */
export async function site(extra = {}, address = "127.0.0.1") {
  const all = { ...routes, ...extra };
  const server = createServer(async (req, res) => {
    const route = all[new URL(req.url, "http://x").pathname];
    if (!route) return void res.writeHead(404).end();
    try {
      const body = await readFile(route);
      res.writeHead(200, { "Content-Type": types[path.extname(route)] ?? "application/octet-stream" }).end(body);
    } catch (err) {
      res.writeHead(500).end(String(err));
    }
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, address, resolve));
  return {
    url: `http://${address}:${server.address().port}/`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
