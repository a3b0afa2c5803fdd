import { assert, Skip, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { others, Person } from "../lib/people.mjs";
import { claims, sign, token as mint } from "../lib/token.mjs";

/** Tokens that must not open the door, and a word that the refusal should hold. */
function wrong(room, identity) {
  const good = claims(room, identity);
  const now = Math.floor(Date.now() / 1000);
  return [
    ["forged", sign(good, "not the secret"), /signature/i],
    ["expired", sign({ ...good, nbf: now - 7200, exp: now - 3600 }), /expired/i],
    ["not yet valid", sign({ ...good, nbf: now + 3600, exp: now + 7200 }), /./],
    ["from an unknown key", sign({ ...good, iss: "somebody" }), /key/i],
    ["garbled", "no.token.here", /./],
  ];
}

async function refused(ctx) {
  for (const v0 of [false, true]) {
    const person = await Person.open(ctx, { name: `mallory-${v0 ? "v0" : "v1"}`, url: nodes.lyon.ws, region: "lyon", v0 });
    try {
      for (const [what, token, word] of wrong(ctx.room, "mallory")) {
        const err = await person.ask(20, "refused", person.url, token, v0);
        assert(err, `a token that is ${what} was let in`);
        assert(err.reason === "NotAllowed" && err.status === 401, `a token that is ${what}: want NotAllowed with 401, got ${JSON.stringify(err)}`);
        assert(err.message.length > 5 && word.test(err.message), `a token that is ${what}: the refusal does not say so: ${JSON.stringify(err)}`);
        assert(!err.message.includes("not the secret") && !err.message.includes(token), "the refusal repeats the token");
        const res = await fetch(`${nodes.lyon.http}/rtc/validate?access_token=${token}`, { signal: AbortSignal.timeout(5000) });
        assert(res.status === 401 && (await res.text()).trim() !== "", `a token that is ${what}: /rtc/validate says ${res.status}`);
      }
    } finally {
      await person.close();
    }
  }
  const roster = await ctx.people.ada.ask(5, "roster");
  assert(!roster.includes("mallory"), "someone without a valid token is in the roster");
}

/** The same identity joins again, first on the same node, then on another: the later one stays, everywhere. */
async function twice(ctx) {
  const { ada, blaise, cleo } = ctx.people;
  for (const [where, v0] of [["lyon", true], ["marseille", false]]) {
    const first = ctx.people.dora;
    const second = await Person.enter(ctx, ctx.room, { name: "dora", url: nodes[where].ws, region: where, v0 });
    await until(`the dora before is told that she joined elsewhere (${where})`, 10, async () => {
      const got = await first.seen({ type: "disconnected" });
      return got.some((e) => e.reason === "DUPLICATE_IDENTITY") || { events: (await first.ask(5, "seen", {})).slice(-4) };
    });
    await first.close();
    ctx.people.dora = second;
    for (const p of [ada, blaise, cleo]) {
      await until(`${p.name} sees the dora who joined last`, 12, async () => {
        const row = (await p.received())["dora/camera"];
        const roster = await p.ask(5, "roster");
        return (roster.filter((n) => n === "dora").length === 1 && row?.frames > 5) || { roster, row };
      });
    }
  }
}

/** Whoever is removed, or whose room is closed, is told why. */
async function reasons(ctx) {
  const room = `${ctx.room}-brief`;
  const admin = mint(room, "backend", { grants: { roomJoin: false, roomAdmin: true, roomCreate: true } });
  const call = async (method, body) => {
    const res = await fetch(`${nodes.paris.http}/twirp/livekit.RoomService/${method}`, {
      method: "POST", headers: { Authorization: `Bearer ${admin}`, "Content-Type": "application/json" }, body: JSON.stringify(body), signal: AbortSignal.timeout(8000),
    });
    if (res.status === 404 && !res.headers.get("content-type")?.includes("json")) throw new Skip("this server has no RoomService API yet");
    assert(res.status === 200, `${method}: ${res.status} ${await res.text()}`);
  };
  const kim = await Person.enter(ctx, room, { name: "kim", url: nodes.lyon.ws, region: "lyon" }, { publish: false });
  const lee = await Person.enter(ctx, room, { name: "lee", url: nodes.marseille.ws, region: "marseille", v0: true }, { publish: false });
  try {
    for (const [p, reason, method, body] of [
      [kim, "PARTICIPANT_REMOVED", "RemoveParticipant", { room, identity: "kim" }],
      [lee, "ROOM_DELETED", "DeleteRoom", { room }],
    ]) {
      await call(method, body);
      await until(`${p.name} is told ${reason}`, 8, async () => {
        const got = await p.seen({ type: "disconnected" });
        return (got.length === 1 && got[0].reason === reason) || got;
      });
    }
    const own = await Person.enter(ctx, room, { name: "own", url: nodes.paris.ws, region: "paris" }, { publish: false });
    await own.ask(8, "leave");
    await until("who leaves reads that it was their own wish", 5, async () => (await own.seen({ type: "disconnected", reason: "CLIENT_INITIATED" })).length === 1);
    await own.close();
  } finally {
    await kim.close();
    await lee.close();
  }
}

async function leave(ctx) {
  const { cleo } = ctx.people;
  const rest = others(ctx, cleo);
  const t0 = Date.now();
  await cleo.ask(8, "leave");
  for (const p of rest) {
    await until(`${p.name} notices that cleo left`, 5, async () => {
      const got = await p.seen({ type: "left", from: "cleo" });
      const roster = await p.ask(5, "roster");
      return (got.length === 1 && !roster.includes("cleo")) || { got, roster };
    });
  }
  ctx.report.figure("leave noticed by all", `${Date.now() - t0} ms`);
  await cleo.close();
  delete ctx.people.cleo;
  await until("room show no longer has cleo", 5, async () => {
    const show = await ctx.cluster.room(ctx.room);
    const at = show.nodes.filter((n) => n.participants?.some((p) => p.identity === "cleo"));
    return at.length === 0 || at;
  });
}

/** A closed tab, without a word, is noticed too. */
async function vanish(ctx) {
  const { blaise } = ctx.people;
  await blaise.close();
  delete ctx.people.blaise;
  for (const p of Object.values(ctx.people)) {
    await until(`${p.name} notices that blaise's tab is gone`, 20, async () => {
      const got = await p.seen({ type: "left", from: "blaise" });
      return got.length === 1 || (await p.ask(5, "roster"));
    });
  }
}

export const early = [{ name: "a wrong token is refused with 401 and a reason", seconds: 60, run: refused }];

export default [
  { name: "the last join of an identity wins, on its node and on others", seconds: 60, run: twice },
  { name: "leave reasons", seconds: 40, run: reasons },
  { name: "a leave is noticed everywhere", seconds: 25, run: leave },
  { name: "a closed tab is noticed everywhere", seconds: 30, run: vanish },
];
