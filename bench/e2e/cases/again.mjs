// Connections that break, in every way the SDK can rehearse: two at once, one with a
// single peer connection and one with two, while the others look on.
import { assert, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { others, Person } from "../lib/people.mjs";

/** Those who break, and those who look on from another region. */
async function join(ctx) {
  for (const who of [
    { name: "ada", url: nodes.paris.ws, region: "paris" },
    { name: "blaise", url: `${nodes.paris.ws}?region=lyon`, region: "lyon", v0: true },
    { name: "cleo", url: nodes.marseille.ws, region: "marseille", v0: true },
    { name: "dora", url: nodes.lyon.ws, region: "lyon" },
  ]) {
    ctx.people[who.name] = await Person.enter(ctx, ctx.room, who);
  }
}

const scenarios = [
  // resumed: the session goes on, under the same sid. Otherwise the SDK may join anew.
  { name: "signal-reconnect", resumed: true },
  { name: "resume-reconnect", resumed: false },
  { name: "disconnect-signal-on-resume", resumed: false },
  { name: "disconnect-signal-on-resume-no-messages", resumed: false },
  { name: "full-reconnect", fresh: true },
  { name: "leave-full-reconnect", fresh: true },
  { name: "node-failure" },
  { name: "migration" },
  { name: "force-tcp", fresh: true, tcp: true },
  // There is no TURN server here that is reached by TLS, so TCP must do.
  { name: "force-tls", fresh: true, tcp: true },
];

/** Media of a pair, both ways, counted from now: frames decoded and packets of sound. */
async function flows(person, from) {
  for (const [a, b] of [[person, from], [from, person]]) {
    const row = async () => {
      const all = await a.received();
      return { frames: all[`${b.name}/camera`]?.frames ?? 0, samples: all[`${b.name}/microphone`]?.samples ?? 0 };
    };
    const before = await row();
    await until(`${a.name} sees and hears ${b.name} again`, 15, async () => {
      const now = await row();
      // A new subscription counts from nought.
      const grew = (k, by) => now[k] >= (now[k] < before[k] ? 0 : before[k]) + by;
      return (grew("frames", 5) && grew("samples", 24_000)) || { before, now };
    });
  }
}

async function scenario(ctx, person, s) {
  const mark = await person.mark();
  const sid = await person.do(5, (c) => c.room.localParticipant.sid);
  const t0 = Date.now();
  await person.do(5, (c, name) => {
    c.room.simulateScenario(name).catch((err) => c.note("scenario failed", { text: String(err) }));
  }, s.name);
  await until(`${person.name} is connected again after ${s.name}`, 25, async () => {
    const got = await person.seen({}, mark);
    return got.some((e) => e.type === "reconnected") || got.map((e) => e.type);
  });
  const told = Date.now() - t0;
  // The SDK says so as soon as media may flow, but for two seconds after it joined anew
  // its engine still counts as reconnecting: reliable messages wait meanwhile for a
  // replay that only a resume makes, so they are lost in the client.
  await until(`${person.name}'s engine is done with ${s.name}`, 12, () => person.do(5, (c) => !c.room.engine.attemptingReconnect && !c.room.engine.pendingReconnect));
  ctx.report.figure(`${s.name}, ${person.v0 ? "two" : "one"} peer connection${person.v0 ? "s" : ""}`, `${told} ms until told`);
  const bad = await person.seen({ type: "disconnected" }, mark);
  assert(bad.length === 0, `${person.name} was disconnected: ${JSON.stringify(bad)}`);
  const now = await person.do(5, (c) => c.room.localParticipant.sid);
  if (s.resumed) assert(now === sid, `${person.name} did not resume: sid ${sid}, then ${now}`);
  if (s.tcp) {
    const list = await person.ask(5, "transports");
    assert(list.length > 0 && list.every((t) => t.protocol === "tcp"), `${person.name} is not on TCP: ${JSON.stringify(list)}`);
  }
  if (s.fresh) assert(now !== sid, `${person.name} did not join anew: sid ${sid} stayed`);
}

async function rehearse(ctx, s) {
  const { ada, blaise, cleo, dora } = ctx.people;
  const pairs = [[ada, cleo], [blaise, dora]];
  const results = await Promise.allSettled(pairs.map(([person]) => scenario(ctx, person, s)));
  for (const r of results) if (r.status === "rejected") throw r.reason;
  for (const [person, witness] of pairs) {
    await flows(person, witness);
    const text = `${person.name} after ${s.name}`;
    await person.ask(8, "publishData", text, { reliable: true, topic: "again" });
    await witness.ask(8, "publishData", `${witness.name} to ${text}`, { reliable: true, topic: "again" });
    for (const p of others(ctx, person)) {
      await until(`${p.name} gets a message of ${text}`, 8, async () => (await p.seen({ type: "data", topic: "again", text })).length === 1 || (await p.seen({ type: "data", topic: "again" })).slice(-3));
    }
    await until(`${person.name} gets a message after ${s.name}`, 8, async () => (await person.seen({ type: "data", topic: "again", text: `${witness.name} to ${text}` })).length === 1);
    const roster = await witness.ask(5, "roster");
    assert(roster.filter((n) => n === person.name).length === 1, `${witness.name} knows ${roster}`);
  }
}

/** Messages sent while a socket is gone arrive once, in order, after it is back. */
async function held(ctx) {
  const { ada, blaise } = ctx.people;
  for (const [person, peer] of [[ada, blaise], [blaise, ada]]) {
    const topic = `held for ${person.name}`;
    await person.do(5, (c) => {
      c.room.simulateScenario("signal-reconnect");
    });
    for (let i = 0; i < 20; i++) await peer.ask(5, "publishData", String(i), { reliable: true, topic });
    await until(`${person.name} gets what ${peer.name} sent meanwhile, in order and once`, 12, async () => {
      const got = (await person.seen({ type: "data", topic })).map((e) => Number(e.text));
      return (got.length === 20 && got.every((n, i) => n === i)) || got;
    });
    await until(`${person.name} is connected`, 12, async () => (await person.do(5, (c) => c.room.state)) === "connected");
  }
}

/** A server that ends a session for good says so, and nobody tries again. */
async function ended(ctx) {
  const { ada, blaise } = ctx.people;
  for (const person of [ada, blaise]) {
    const mark = await person.mark();
    await person.do(5, (c) => c.room.simulateScenario("server-leave"));
    await until(`${person.name} is told that the server ended it`, 8, async () => {
      const got = await person.seen({ type: "disconnected" }, mark);
      return (got.length === 1 && got[0].reason === "SERVER_SHUTDOWN") || got;
    });
  }
  for (const p of others(ctx, ada).filter((p) => p !== blaise)) {
    await until(`${p.name} sees both leave`, 8, async () => (await p.ask(5, "roster")).length === 1 || (await p.ask(5, "roster")));
  }
}

export default [
  { name: "four join", seconds: 40, run: join, vital: true },
  ...scenarios.map((s) => ({ name: `simulated ${s.name}`, seconds: 75, run: (ctx) => rehearse(ctx, s) })),
  { name: "nothing is lost while a signalling socket is gone", seconds: 50, run: held },
  { name: "simulated server-leave", seconds: 40, run: ended },
];
