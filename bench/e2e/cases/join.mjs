import { assert, until } from "../lib/check.mjs";
import { cast, pairs, Person } from "../lib/people.mjs";

/** A list of [milliseconds, what] in a line. */
const ms = (list) => {
  const s = [...list].sort((a, b) => a[0] - b[0]);
  const n = (i) => Math.round(s[i][0]);
  return `min ${n(0)}, median ${n(s.length >> 1)}, max ${n(s.length - 1)} ms (${s.length}; slowest ${s.at(-1)[1]})`;
};

/** One after the other, each meets those who are there already. */
async function join(ctx) {
  const here = [];
  const times = { connect: [], same: [], across: [] };
  for (const who of cast) {
    const person = await Person.enter(ctx, ctx.room, who);
    ctx.people[who.name] = person;
    const { joined } = person;
    assert(joined.identity === who.name, `${who.name} became ${joined.identity}`);
    assert(joined.room === ctx.room, `${who.name} is in room ${joined.room}, not ${ctx.room}`);
    assert(/^PA_/.test(joined.sid), `participant sid ${joined.sid} does not start with PA_`);
    times.connect.push([joined.connected, who.name]);
    await until(`${who.name} sees a first frame of ${here.map((p) => p.name)}`, 15, async () => {
      const { started, firstFrame } = await person.ask(5, "firstFrames");
      const waits = here.filter((p) => !(`${p.name}/camera` in firstFrame)).map((p) => p.name);
      if (waits.length) return { waitingFor: waits, received: await person.received() };
      for (const p of here) {
        const took = firstFrame[`${p.name}/camera`] - started;
        times[p.region === who.region ? "same" : "across"].push([took, `${who.name} sees ${p.name}`]);
      }
      return true;
    });
    here.push(person);
  }
  ctx.report.figure("connect() of livekit-client", ms(times.connect));
  if (times.same.length) ctx.report.figure("join to first frame, publisher in the same region", ms(times.same));
  ctx.report.figure("join to first frame, publisher in another region", ms(times.across));
}

/** Two keep two peer connections on /rtc, two have one on /rtc/v1 with the first offer in its URL. */
async function paths(ctx) {
  for (const p of Object.values(ctx.people)) {
    const { path, offered, peers } = p.joined;
    const want = p.v0 ? { path: "/rtc", offered: false, peers: 2 } : { path: "/rtc/v1", offered: true, peers: 1 };
    assert(JSON.stringify({ path, offered, peers }) === JSON.stringify(want), `${p.name}: want ${JSON.stringify(want)}, got ${JSON.stringify({ path, offered, peers })}`);
  }
}

/** Media is encrypted with AES-GCM, which costs a fifth of the older cipher. */
async function ciphers(ctx) {
  const seen = new Set();
  for (const p of Object.values(ctx.people)) {
    const list = await p.ask(5, "transports");
    assert(list.length === p.joined.peers, `${p.name} has ${JSON.stringify(list)}`);
    for (const t of list) {
      assert(/^SRTP_AEAD_AES_(128|256)_GCM$/.test(t.srtp), `${p.name}'s media is encrypted with ${t.srtp}`);
      seen.add(`${t.srtp}, ${{ FEFD: "DTLS 1.2", FEFC: "DTLS 1.3" }[t.tls] ?? t.tls} (${t.dtls}), ${t.protocol}`);
    }
  }
  ctx.report.figure("media encryption", [...seen].join("; "));
}

async function roster(ctx) {
  const names = cast.map((c) => c.name);
  for (const p of Object.values(ctx.people)) {
    await until(`${p.name} knows everyone else, and nobody else`, 8, async () => {
      const got = await p.ask(5, "roster");
      return JSON.stringify(got) === JSON.stringify(names.filter((n) => n !== p.name)) || got;
    });
  }
}

/** Every pair: frames decoded, clock of the element running, sound that is not silence. */
async function media(ctx) {
  const before = {};
  for (const p of Object.values(ctx.people)) before[p.name] = await p.received();
  const zero = { frames: 0, time: 0, samples: 0, energy: 0 };
  for (const [viewer, from] of pairs(ctx)) {
    const video = `${from.name}/camera`;
    const audio = `${from.name}/microphone`;
    await until(`${viewer.name} sees and hears ${from.name}`, 15, async () => {
      const now = await viewer.received();
      const v0 = before[viewer.name][video] ?? zero;
      const a0 = before[viewer.name][audio] ?? zero;
      const v = now[video] ?? {};
      const a = now[audio] ?? {};
      const ok =
        v.frames >= (v0.frames ?? 0) + 10 &&
        v.time > (v0.time ?? 0) &&
        v.elWidth > 0 &&
        a.samples > (a0.samples ?? 0) + 24_000 &&
        a.energy > (a0.energy ?? 0);
      return ok || { video: v, audio: a, before: { video: v0, audio: a0 } };
    });
  }
}

/** Nobody was told of trouble while all was well. */
async function calm(ctx) {
  for (const p of Object.values(ctx.people)) {
    for (const type of ["reconnecting", "signal reconnecting", "disconnected", "subscription failed"]) {
      const bad = await p.seen({ type });
      assert(bad.length === 0, `${p.name}: ${JSON.stringify(bad)}`);
    }
  }
}

export default [
  { name: "four clients join three nodes and publish", seconds: 75, run: join, vital: true },
  { name: "one peer connection and two, as asked", seconds: 5, run: paths },
  { name: "media is encrypted with AES-GCM", seconds: 15, run: ciphers },
  { name: "everyone knows everyone", seconds: 30, run: roster },
  { name: "everyone sees and hears everyone", seconds: 60, run: media },
  { name: "no reconnection so far", seconds: 10, run: calm },
];
