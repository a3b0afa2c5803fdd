// The signalling WebSocket: opens it, says why it could not, pings, and notices silence.
import { encodeRequest, decodeResponse } from "./messages.js";

const OPEN_TIMEOUT = 12000, FIRST_TIMEOUT = 5000;
const PROTOCOL = 16; // the signal protocol version the page speaks

// Refused is a join that failed; kind names the sentence to show, text is the node's own.
export class Refused extends Error {
  constructor(kind, text = "") {
    super(`${kind} ${text}`);
    this.kind = kind;
    this.text = text;
  }
}

// query returns the parameters of /rtc (LiveKit signalling, version 0).
export function query(token, region, resume) {
  const q = new URLSearchParams({
    access_token: token, auto_subscribe: "1", adaptive_stream: "1", protocol: String(PROTOCOL), version: "1.0.0",
  });
  if (region) q.set("region", region);
  if (resume) {
    q.set("reconnect", "1");
    q.set("sid", resume);
  }
  return q;
}

export class Socket {
  // open resolves with a socket whose first message has arrived, at socket.first; all
  // messages after it go to on.message, and on.close is called once when it ends.
  static async open(base, q, on) {
    const url = new URL("/rtc", base);
    const ws = new URL(url);
    ws.protocol = url.protocol.replace("http", "ws");
    ws.search = q;
    const socket = new Socket(new WebSocket(ws), on);
    try {
      await socket.ready;
      return socket;
    } catch (err) {
      socket.close();
      throw err instanceof Refused ? err : await why(url, q);
    }
  }

  constructor(ws, on) {
    this.ws = ws;
    this.on = on;
    this.rtt = 0;
    this.heard = performance.now();
    ws.binaryType = "arraybuffer";
    this.ready = new Promise((resolve, reject) => {
      let timer = setTimeout(() => reject(new Error("timeout")), OPEN_TIMEOUT);
      ws.onopen = () => {
        clearTimeout(timer);
        timer = setTimeout(() => reject(new Refused("silent")), FIRST_TIMEOUT);
      };
      this.settle = (first) => {
        clearTimeout(timer);
        if (first) resolve(this.first = first);
        else reject(new Error("closed"));
      };
    });
    ws.onmessage = (event) => this.receive(event.data);
    ws.onclose = () => this.end();
  }

  receive(data) {
    if (typeof data === "string") return; // the node answers binary with binary
    this.heard = performance.now();
    let message;
    try {
      message = decodeResponse(new Uint8Array(data));
    } catch (err) {
      console.warn("signalling message not understood", err);
      return;
    }
    if (message.pongResp) this.rtt = Math.max(0, Date.now() - message.pongResp.lastPingTimestamp);
    if (!this.first) this.settle(message);
    else this.on.message(message);
  }

  // keepAlive starts the pings that the join asked for, in seconds.
  keepAlive(interval, timeout) {
    clearInterval(this.pinger);
    if (!interval) return;
    const ping = () => this.send({ pingReq: { timestamp: Date.now(), rtt: Math.round(this.rtt) } });
    ping();
    this.pinger = setInterval(() => {
      if (timeout && performance.now() - this.heard > timeout * 1000) {
        this.end();
        return;
      }
      ping();
    }, interval * 1000);
  }

  send(request) {
    if (this.ws.readyState === WebSocket.OPEN) this.ws.send(encodeRequest(request));
  }

  end() {
    this.settle(null);
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.pinger);
    this.ws.close();
    if (this.first) this.on.close();
  }

  // close ends the socket without telling the owner.
  close() {
    this.ended = true;
    clearInterval(this.pinger);
    this.ws.close();
  }
}

// why asks the node over HTTP what was wrong: a WebSocket does not tell.
async function why(url, q) {
  let response;
  try {
    const check = new URL("/rtc/validate", url);
    check.search = q;
    response = await fetch(check, { cache: "no-store", signal: AbortSignal.timeout(FIRST_TIMEOUT) });
  } catch {
    return new Refused(navigator.onLine ? "unreachable" : "offline");
  }
  const text = response.ok ? "" : (await response.text()).trim().slice(0, 300);
  if (response.ok) return new Refused("blocked");
  if (response.status === 401 || response.status === 403) return new Refused("token", text);
  if (response.status === 404) return new Refused("missing", text);
  if (response.status === 503) return new Refused("busy", text);
  return new Refused("node", text);
}

// pause waits, less long when the browser says that the network is back.
export function pause(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (ms) addEventListener("online", done);
  });
}
