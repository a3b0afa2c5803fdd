// A network namespace for one client, behind a virtual cable whose node side can be
// made narrow, and in which UDP can be forbidden. Needs root and iproute2.
import { execFile, spawn } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { Skip } from "./check.mjs";

const run = promisify(execFile);
const NEAR = "maille-e2e0";
const FAR = "maille-e2e1";
// Addresses for documentation (RFC 5737): nobody else has them.
export const here = "198.51.100.1";
const there = "198.51.100.2";

export class Namespace {
  /** Says why this machine cannot have one, by a Skip. */
  static async open() {
    if (process.getuid() !== 0) throw new Skip("needs root to make a network namespace");
    for (const tool of ["ip", "tc", "nsenter", "unshare"]) {
      await run("sh", ["-c", `command -v ${tool}`]).catch(() => {
        throw new Skip(`needs ${tool} (packages iproute2 and util-linux)`);
      });
    }
    const ns = new Namespace();
    ns.holder = spawn("unshare", ["-n", "sleep", "infinity"], { stdio: "ignore" });
    process.on("exit", () => ns.holder.kill("SIGKILL"));
    try {
      await ns.connect();
    } catch (err) {
      await ns.close();
      throw new Skip(`this kernel or container lets no network namespace be made: ${err.message.split("\n")[0]}`);
    }
    return ns;
  }

  async connect() {
    // The holder is in its namespace once it runs sleep.
    for (let i = 0; i < 100; i++) {
      const { stdout } = await run("readlink", [`/proc/${this.holder.pid}/ns/net`, "/proc/self/ns/net"]);
      const [its, ours] = stdout.trim().split("\n");
      if (its !== ours) break;
      await new Promise((r) => setTimeout(r, 20));
    }
    await run("ip", ["link", "del", NEAR]).catch(() => {});
    await run("ip", ["link", "add", NEAR, "type", "veth", "peer", "name", FAR]);
    await run("ip", ["link", "set", FAR, "netns", String(this.holder.pid)]);
    await run("ip", ["addr", "add", `${here}/30`, "dev", NEAR]);
    await run("ip", ["link", "set", NEAR, "up"]);
    await this.inside("ip", "link", "set", "lo", "up");
    await this.inside("ip", "addr", "add", `${there}/30`, "dev", FAR);
    await this.inside("ip", "link", "set", FAR, "up");
    await this.inside("ip", "route", "add", "default", "via", here);
    await this.narrow(100_000);
    await this.wide();
  }

  inside(...command) {
    return run("nsenter", ["-t", String(this.holder.pid), "-n", "--", ...command]);
  }

  /** A program that starts another one inside: what a browser's launcher is given. */
  async wrapper(out, program) {
    const file = path.join(out, "inside.sh");
    await writeFile(file, `#!/bin/sh\nexec nsenter -t ${this.holder.pid} -n -- ${program} "$@"\n`);
    await chmod(file, 0o755);
    return file;
  }

  /** What comes from the nodes is held to a rate, with a queue of a third of a second. */
  narrow(kbit) {
    return run("tc", ["qdisc", "replace", "dev", NEAR, "root", "tbf", "rate", `${kbit}kbit`, "burst", "8kb", "latency", "300ms"]);
  }

  wide() {
    return run("tc", ["qdisc", "del", "dev", NEAR, "root"]);
  }

  /** Nothing inside may send UDP, as behind many a firewall. */
  async forbidUDP(yes) {
    const what = ["ipproto", "udp", "prohibit", "pref", "10"];
    await this.inside("ip", "rule", yes ? "add" : "del", ...what).catch((err) => {
      throw new Skip(`this kernel has no rules by protocol: ${err.stderr?.trim()}`);
    });
  }

  async close() {
    this.holder.kill("SIGKILL");
    await run("ip", ["link", "del", NEAR]).catch(() => {});
  }
}
