// End-to-end encryption with the SDK's own worker: who has the key sees, hears and
// reads; who has another one, or none, does not, and the nodes pass it all untouched.
import { assert, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { Person } from "../lib/people.mjs";

const rgb = [30, 200, 30];
const near = (got, by = 70) => got?.every((v, i) => Math.abs(v - rgb[i]) < by);
const key = "correct horse battery staple";

async function join(ctx) {
  for (const who of [
    { name: "alice", url: nodes.paris.ws, region: "paris", key },
    { name: "bob", url: nodes.lyon.ws, region: "lyon", v0: true, key },
    { name: "eve", url: nodes.marseille.ws, region: "marseille", key: "something else" },
    { name: "trent", url: nodes.lyon.ws, region: "lyon" },
  ]) {
    ctx.people[who.name] = await Person.enter(ctx, ctx.room, who, { publish: false, key: who.key });
  }
  const { alice, bob } = ctx.people;
  for (const p of [alice, bob]) await p.ask(10, "microphone", true);
}

async function seen(ctx, from, codec) {
  const publisher = ctx.people[from];
  const friend = ctx.people[from === "alice" ? "bob" : "alice"];
  await publisher.ask(15, "paint", rgb, 640, 360, { videoCodec: codec, backupCodec: false });
  try {
    await until(`${friend.name} sees ${from}, having the key`, 15, async () => {
      const got = await friend.ask(5, "colour", from);
      return near(got) || { got, row: (await friend.received())[`${from}/camera`] };
    });
    await until(`${friend.name} hears ${from}, having the key`, 10, async () => {
      const row = (await friend.received())[`${from}/microphone`];
      return (row?.energy > 0 && row.concealed - row.silent < row.samples / 4) || row;
    });
    for (const p of [ctx.people.eve, ctx.people.trent]) {
      await until(`${p.name} gets packets to fail at`, 8, async () => (await p.received())[`${from}/camera`]?.packets > 20 || (await p.received()));
      const row = (await p.received())[`${from}/camera`];
      const got = await p.ask(5, "colour", from);
      assert(!near(got), `${p.name} sees ${from}'s picture without the key: ${JSON.stringify({ got, row })}`);
    }
  } finally {
    await publisher.ask(8, "unpaint");
  }
}

async function read(ctx) {
  const { alice, bob, eve, trent } = ctx.people;
  await alice.ask(8, "publishData", "for those with the key", { reliable: true, topic: "secret" });
  await alice.ask(8, "sendText", "and a stream");
  await until("bob reads both", 8, async () => {
    const got = [...(await bob.seen({ type: "data", topic: "secret" })), ...(await bob.seen({ type: "text", text: "and a stream" }))];
    return got.length === 2 || got;
  });
  for (const p of [eve, trent]) {
    const got = [...(await p.seen({ type: "data" })), ...(await p.seen({ type: "text" }))];
    assert(!got.some((e) => /key|stream/.test(e.text)), `${p.name} reads without the key: ${JSON.stringify(got)}`);
  }
}

/** The right key, given later, opens what comes from then on. */
async function late(ctx) {
  const { alice, eve } = ctx.people;
  await alice.ask(15, "paint", rgb, 640, 360, { videoCodec: "vp8", backupCodec: false });
  await eve.do(5, (c, key) => c.keys.setKey(key), key);
  await until("eve sees alice once she has the key", 15, async () => {
    const got = await eve.ask(5, "colour", "alice");
    return near(got) || { got, row: (await eve.received())["alice/camera"] };
  });
}

/**
 * Asked for a backup codec too, by people with the key: the SDK announces none while it
 * encrypts, nobody is told to send one, and the picture is seen with the key all the same.
 */
async function backup(ctx) {
  const { alice, bob, eve } = ctx.people;
  await alice.ask(15, "paint", rgb, 640, 360, { videoCodec: "vp9", backupCodec: { codec: "vp8" }, backupCodecPolicy: 1 });
  try {
    await until("bob sees alice by VP9, having the key", 15, async () => {
      const got = await bob.ask(5, "colour", "alice");
      const row = (await bob.received())["alice/camera"];
      return (near(got) && row.codec === "video/VP9") || { got, row };
    });
    const codecs = await bob.do(5, (c) => c.publication("alice", "camera").trackInfo.codecs.map((i) => i.mimeType.toLowerCase()));
    assert(codecs.join() === "video/vp9", `alice's picture is announced in ${codecs}`);
    const sent = (await alice.ask(5, "sent")).filter((s) => s.kind === "video").map((s) => s.codec);
    assert(sent.every((c) => c === "video/VP9"), `alice sends ${sent}`);
    assert(!near(await eve.ask(5, "colour", "alice")), "eve sees it without the key");
  } finally {
    await alice.ask(8, "unpaint");
  }
}

/**
 * What ends the frames that a server makes up is the same for everyone of a room, on every
 * node, and after a reconnection: who decrypts tells them by it.
 */
async function trailer(ctx) {
  const of = (p) => p.do(5, (c) => [...c.room.engine.latestJoinResponse.sifTrailer]);
  const [first, ...rest] = await Promise.all(Object.values(ctx.people).map(of));
  assert(first.length >= 16, `a trailer of ${first.length} bytes`);
  for (const t of rest) assert(t.join() === first.join(), `two trailers in one room: ${first} and ${t}`);
  const { bob } = ctx.people;
  const mark = await bob.mark();
  await bob.do(5, (c) => {
    c.room.simulateScenario("full-reconnect");
  });
  await until("bob is connected again", 25, async () => (await bob.seen({ type: "reconnected" }, mark)).length > 0);
  assert((await of(bob)).join() === first.join(), "another trailer after a reconnection");
}

export default [
  { name: "four join, two with the key", seconds: 50, run: join, vital: true },
  { name: "VP8 is seen with the key only", seconds: 50, run: (ctx) => seen(ctx, "alice", "vp8") },
  { name: "VP8 by two peer connections", seconds: 50, run: (ctx) => seen(ctx, "bob", "vp8") },
  { name: "VP9 is seen with the key only", seconds: 50, run: (ctx) => seen(ctx, "alice", "vp9") },
  { name: "a backup codec is asked for in vain", seconds: 50, run: backup },
  { name: "data and text are read with the key only", seconds: 30, run: read },
  { name: "a key that comes late", seconds: 30, run: late },
  { name: "one trailer for all nodes", seconds: 45, run: trailer },
];
