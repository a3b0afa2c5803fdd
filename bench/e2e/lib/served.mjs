// Nodes as an operator runs them: `maille serve`, a process each, with a configuration
// file, certificates and keys made for the occasion.
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import os from "node:os";
import path from "node:path";
import { Failure, Hopeless, until } from "./check.mjs";
import { cli, nodesAt, STOP_MS } from "./cluster.mjs";

export class Served {
  constructor(binary, out, address, regions) {
    Object.assign(this, { binary, out, address, regions, children: [] });
    this.nodes = nodesAt(address);
    this.key = { name: "APIe2e", secret: randomBytes(24).toString("hex") };
    process.on("exit", () => this.kill());
  }

  async start(seconds) {
    this.dir = await mkdtemp(path.join(os.tmpdir(), "maille-served-"));
    const ca = path.join(this.dir, "ca");
    await cli(this.binary, "cert", "ca", "--cluster", "e2e", "--dir", ca);
    const gossipKey = randomBytes(32).toString("base64");
    for (const [i, region] of this.regions.entries()) {
      const home = path.join(this.dir, region);
      await mkdir(home);
      await cli(this.binary, "cert", "node", "--ca", ca, "--name", region, "--region", region, "--dir", path.join(home, "certs"));
      const ports = { signal: 7880, ice_tcp: 7881, media_udp: 7882, link: 7883, cluster: 7884, gossip: 7946 };
      for (const name of Object.keys(ports)) ports[name] += 10 * i;
      const config = {
        name: region, region, cluster: "e2e", bind: this.address, advertise: this.address,
        data_dir: path.join(home, "data"), certs_dir: path.join(home, "certs"), ports, admin: `127.0.0.1:${6789 + 10 * i}`,
        keys: { [this.key.name]: this.key.secret }, gossip_keys: [gossipKey], bootstrap_expect: this.regions.length,
        seeds: this.regions.map((_, j) => `${this.address}:${7946 + 10 * j}`).filter((_, j) => j !== i), room: { loudest: 0 },
      };
      // YAML reads JSON.
      await writeFile(path.join(home, "node.yaml"), JSON.stringify(config, null, 1), { mode: 0o600 });
      this.spawn(region, path.join(home, "node.yaml"));
    }
    await until(`${this.regions} answer /readyz with 200`, seconds, async () => {
      const dead = this.children.find((c) => c.exitCode !== null);
      if (dead) throw new Hopeless(`maille serve ended with ${dead.exitCode}: see ${this.out}/maille-*.log`);
      const answers = await Promise.all(this.regions.map((r) => fetch(`${this.nodes[r].http}/readyz`, { signal: AbortSignal.timeout(2000) }).then((res) => res.status, String)));
      return answers.every((s) => s === 200) || answers;
    });
  }

  spawn(region, config) {
    const log = createWriteStream(path.join(this.out, `maille-${region}.log`));
    const child = spawn(this.binary, ["serve", "--config", config], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } });
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    child.ended = new Promise((resolve) => child.once("exit", resolve));
    this.children.push(child);
  }

  async stop() {
    for (const c of this.children) c.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), STOP_MS);
    const codes = await Promise.all(this.children.map((c) => c.ended));
    clearTimeout(timer);
    await rm(this.dir, { recursive: true, force: true });
    if (codes.some((c) => c !== 0)) throw new Failure(`maille serve ended with ${codes}`);
  }

  kill() {
    for (const c of this.children) if (c.exitCode === null) c.kill("SIGKILL");
  }
}
