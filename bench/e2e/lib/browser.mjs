// Chromium from the system, driven over its debugging protocol; no download.
import { createWriteStream } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  // A camera that draws and a microphone that beeps. 15 frames a second: all clients share two cores.
  "--use-fake-device-for-media-stream=fps=15",
  "--use-fake-ui-for-media-stream",
  "--auto-select-desktop-capture-source=Entire screen",
  "--autoplay-policy=no-user-gesture-required",
  // Media must pass by loopback addresses as they are, not by mDNS names.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
];

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: true,
    args,
    timeout: 30_000,
  });
}

/** Opens a page in a profile of its own, and keeps what it prints. */
export async function open(browser, name, url, out, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
  context.setDefaultTimeout(15_000);
  await context.grantPermissions(["camera", "microphone"], { origin: new URL(url).origin });
  const page = await context.newPage();
  const file = createWriteStream(path.join(out, `${name}.console.log`));
  const lines = [];
  const t0 = Date.now();
  // at: the page's own time. Messages come in batches when the machine is busy.
  const keep = (text, at = Date.now()) => {
    const line = text.replace(/[\w%-]{100,}/g, (long) => `${long.slice(0, 20)}...`);
    lines.push(line);
    if (lines.length > 400) lines.shift();
    file.write(`${((at - t0) / 1000).toFixed(3)} ${line}\n`);
  };
  page.on("console", (m) => keep(`[${m.type()}] ${m.text()}`, m.timestamp()));
  page.on("pageerror", (err) => keep(`[uncaught] ${err.stack ?? err}`));
  page.on("crash", () => keep("[crash] the page's process ended"));
  page.on("requestfailed", (r) => keep(`[request failed] ${r.method()} ${r.url()} ${r.failure()?.errorText}`));
  await page.goto(url);
  const close = async () => {
    await context.close();
    file.end();
  };
  return { name, page, lines, close };
}
