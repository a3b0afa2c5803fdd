// The system's own Chromium and Firefox, driven over their debugging protocols; no download.
import { createWriteStream } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

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

export async function launch({ executable = process.env.CHROMIUM || "/usr/bin/chromium", more = [] } = {}) {
  return chromium.launch({ executablePath: executable, headless: true, args: [...args, ...more], timeout: 30_000 });
}

const firefoxPrefs = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "media.peerconnection.ice.loopback": true,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  // No codec is fetched, nothing is reported.
  "media.gmp-manager.updateEnabled": false,
  "app.update.enabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
};

export async function launchFirefox(executable = process.env.FIREFOX || "/usr/bin/firefox-esr") {
  const browser = await puppeteer.launch({ browser: "firefox", executablePath: executable, headless: true, extraPrefsFirefox: firefoxPrefs, timeout: 30_000 });
  browser.isFirefox = true;
  return browser;
}

/** A profile of its own in either browser: {page, close}. */
async function profile(browser, url, options) {
  if (browser.isFirefox) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    await page.setViewport({ width: 1000, height: 700 });
    return { page, end: () => context.close() };
  }
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
  context.setDefaultTimeout(15_000);
  await context.grantPermissions(["camera", "microphone"], { origin: new URL(url).origin });
  return { page: await context.newPage(), end: () => context.close() };
}

/** Opens a page in a profile of its own, and keeps what it prints. */
export async function open(browser, name, url, out, options = {}) {
  const { page, end } = await profile(browser, url, options);
  const file = createWriteStream(path.join(out, `${name}.console.log`));
  const lines = [];
  const t0 = Date.now();
  // at: the page's own time. Messages come in batches when the machine is busy.
  const keep = (text, at = Date.now()) => {
    const line = text.replace(/[\w%-]{100,}/g, (long) => `${long.slice(0, 20)}...`);
    lines.push(line);
    if (lines.length > 400) lines.shift();
    if (!file.writableEnded) file.write(`${((at - t0) / 1000).toFixed(3)} ${line}\n`);
  };
  page.on("console", (m) => keep(`[${m.type()}] ${m.text()}`, m.timestamp?.()));
  page.on("pageerror", (err) => keep(`[uncaught] ${err.stack ?? err}`));
  page.on("crash", () => keep("[crash] the page's process ended"));
  page.on("requestfailed", (r) => keep(`[request failed] ${r.method()} ${r.url()} ${r.failure()?.errorText}`));
  await page.goto(url);
  const close = async () => {
    await end();
    file.end();
  };
  return { name, page, lines, close };
}
