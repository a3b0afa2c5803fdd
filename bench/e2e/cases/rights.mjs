// What a publisher lets others see, and what a token lets its holder do.
import { assert, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { others, Person } from "../lib/people.mjs";

/** A publisher names who may subscribe; the others lose the track and get it back. */
async function chosen(ctx) {
  for (const [from, kept] of [[ctx.people.ada, "cleo"], [ctx.people.blaise, "dora"]]) {
    const rest = others(ctx, from);
    ctx.undo.push(() => from.do(5, (c) => c.room.localParticipant.setTrackSubscriptionPermissions(true)).catch(() => {}));
    await from.do(5, (c, who) => c.room.localParticipant.setTrackSubscriptionPermissions(false, [{ participantIdentity: who, allowAll: true }]), kept);
    for (const p of rest.filter((p) => p.name !== kept)) {
      await until(`${p.name} may no longer see ${from.name}`, 8, async () => {
        const state = await p.do(5, (c, who) => [...c.room.remoteParticipants.get(who).trackPublications.values()].map((t) => `${t.source} ${t.permissionStatus} ${t.isSubscribed}`), from.name);
        return (state.length === 2 && state.every((s) => s.endsWith("not_allowed false"))) || state;
      });
    }
    const keeper = rest.find((p) => p.name === kept);
    const frames = async () => (await keeper.received())[`${from.name}/camera`]?.frames ?? 0;
    const before = await frames();
    await until(`${kept} still sees ${from.name}`, 6, async () => (await frames()) > before + 5 || (await keeper.received()));
    await from.do(5, (c) => c.room.localParticipant.setTrackSubscriptionPermissions(true));
    for (const p of rest) {
      await until(`${p.name} sees ${from.name} again`, 10, async () => {
        const row = (await p.received())[`${from.name}/camera`];
        return (row?.subscribed && row.frames > 5) || row;
      });
    }
  }
}

/** Grants of a token: what is missing cannot be done, and a reason is given. */
async function grants(ctx) {
  const lurker = await Person.enter(ctx, ctx.room, { name: "lou", url: nodes.lyon.ws, region: "lyon", claims: { grants: { canPublish: false } } }, { publish: false });
  const mike = await Person.enter(ctx, ctx.room, { name: "mike", url: nodes.marseille.ws, region: "marseille", v0: true, claims: { grants: { canPublishSources: ["microphone"], canPublishData: false } } }, { publish: false });
  const ghost = await Person.enter(ctx, ctx.room, { name: "ghost", url: nodes.paris.ws, region: "paris", claims: { grants: { hidden: true } } }, { publish: false });
  try {
    await until("lou, who may not publish, sees ada", 10, async () => (await lurker.received())["ada/camera"]?.frames > 3 || (await lurker.received()));
    const tries = (c, what) => c[what](true).then(() => "done", (err) => `${err.name}: ${err.message}`);
    const refused = await lurker.do(15, tries, "camera");
    assert(/permission/i.test(refused), `lou publishes a camera without the grant: ${refused}`);
    const heard = await mike.do(15, tries, "microphone");
    assert(heard === "done", `mike, who may use his microphone: ${heard}`);
    const seen = await mike.do(15, tries, "camera");
    assert(/permission/i.test(seen), `mike publishes a camera, granted a microphone only: ${seen}`);
    await until("ada hears mike", 8, async () => (await ctx.people.ada.received())["mike/microphone"]?.packets > 10 || (await ctx.people.ada.received()));
    await mike.do(5, (c) => c.publishData("I may not say this", { reliable: true, topic: "mute" }).catch(() => {}));
    for (const p of Object.values(ctx.people)) {
      const roster = await p.ask(5, "roster");
      assert(!roster.includes("ghost"), `${p.name} sees a hidden participant: ${roster}`);
      assert((await p.seen({ type: "data", topic: "mute" })).length === 0, `${p.name} got data of someone without the grant`);
    }
    await until("a hidden participant sees ada", 8, async () => (await ghost.received())["ada/camera"]?.frames > 3 || (await ghost.received()));
  } finally {
    for (const p of [lurker, mike, ghost]) {
      await p.ask(8, "leave").catch(() => {});
      await p.close();
    }
  }
  await until("only the four are left", 8, async () => {
    const roster = await ctx.people.ada.ask(5, "roster");
    return roster.length === 3 || roster;
  });
}

export default [
  { name: "a publisher chooses who may subscribe", seconds: 60, run: chosen },
  { name: "a token's grants hold", seconds: 60, run: grants },
];
