// Starts `maille dev`: three nodes in one process, on loopback.
import { spawn, execFile } from "node:child_process";
import { createWriteStream } from "node:fs";
import net from "node:net";
import { promisify } from "node:util";
import { Failure, Hopeless, until } from "./check.mjs";

const run = promisify(execFile);
const TAIL_LINES = 60;
export const STOP_MS = 10_000;

/** The nodes of `maille dev` and where each listens. */
export const nodesAt = (address) =>
  Object.fromEntries(
    ["paris", "lyon", "marseille"].map((region, i) => [region, { region, ws: `ws://${address}:${7880 + 10 * i}`, http: `http://${address}:${7880 + 10 * i}` }]),
  );
export const nodes = nodesAt("127.0.0.1");

const listening = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    const answer = (yes) => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(1000, () => answer(false));
    socket.once("connect", () => answer(true)).once("error", () => answer(false));
  });

/** Runs one verb of maille and returns what it prints. */
export async function cli(binary, ...args) {
  try {
    const { stdout } = await run(binary, args, { timeout: 10_000, maxBuffer: 16 << 20 });
    return stdout;
  } catch (err) {
    throw new Failure(`maille ${args.join(" ")}: ${err.message}\n${err.stderr ?? ""}`);
  }
}

const running = new Set();
process.on("exit", () => running.forEach((c) => c.kill()));

export class Cluster {
  constructor(binary, logFile, { regions = Object.keys(nodes), env = {} } = {}) {
    Object.assign(this, { binary, logFile, regions, env });
    this.nodes = regions.map((r) => nodes[r]);
    this.lines = [];
    this.exited = null;
  }

  /** Starts the process and waits until every node says it is ready. */
  async start(seconds) {
    for (const n of this.nodes) {
      const port = Number(new URL(n.http).port);
      if (await listening(port)) throw new Failure(`port ${port} is already taken: is another maille running?`);
    }
    const t0 = Date.now();
    this.log = createWriteStream(this.logFile);
    const args = ["dev", "--loudest", "0", "--regions", this.regions.join()];
    this.child = spawn(this.binary, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1", ...this.env } });
    running.add(this);
    const keep = (chunk) => {
      this.log.write(chunk);
      this.lines.push(...String(chunk).trimEnd().split("\n"));
      this.lines.splice(0, Math.max(0, this.lines.length - 5000));
    };
    this.child.stdout.on("data", keep);
    this.child.stderr.on("data", keep);
    this.done = new Promise((resolve) => {
      this.child.once("error", (err) => resolve((this.exited = { error: String(err) })));
      this.child.once("exit", (code, signal) => resolve((this.exited = { code, signal })));
    });
    await until("every node answers /readyz with 200", seconds, async () => {
      if (this.exited) throw new Hopeless(`maille dev ended at once: ${JSON.stringify(this.exited)}`);
      const answers = {};
      for (const n of this.nodes) {
        const res = await fetch(`${n.http}/readyz`, { signal: AbortSignal.timeout(2000) }).catch((err) => ({ status: String(err.cause ?? err) }));
        answers[n.region] = res.status;
      }
      return Object.values(answers).every((s) => s === 200) || answers;
    });
    return Date.now() - t0;
  }

  /** Asks the process to end and says how it did; kills what does not listen. */
  async stop() {
    if (!this.child) return { code: 0 };
    if (!this.exited) {
      this.child.kill("SIGTERM");
      const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
      await this.done;
      clearTimeout(timer);
    }
    this.log.end();
    return this.exited;
  }

  kill() {
    if (this.child && !this.exited) this.child.kill("SIGKILL");
  }

  tail(n = TAIL_LINES) {
    return this.lines.slice(-n).join("\n");
  }

  cli(...args) {
    return cli(this.binary, ...args);
  }

  /** A join token from `maille token create`. */
  async token(room, identity, ...more) {
    const out = await this.cli("token", "create", "--room", room, "--identity", identity, "--json", ...more);
    const { token } = JSON.parse(out);
    if (!token) throw new Failure(`maille token create --json printed no "token": ${out}`);
    return token;
  }

  /** The room as the nodes hold it: RoomShowResponse of proto/admin. */
  async room(name) {
    return JSON.parse(await this.cli("room", "show", name, "--json"));
  }
}
