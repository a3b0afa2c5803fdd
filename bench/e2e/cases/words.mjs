// What participants tell and ask each other besides packets: streams, calls, names.
import { assert, until } from "../lib/check.mjs";
import { others } from "../lib/people.mjs";

/** Text of several chunks and a file, with their attributes, to everyone and to one. */
async function streams(ctx) {
  const { ada, blaise, cleo, dora } = ctx.people;
  const listen = (c) => {
    if (c.streams) return;
    c.streams = [];
    c.room.registerTextStreamHandler("e2e.text", async (reader, from) => {
      const text = await reader.readAll();
      c.streams.push({ from: from.identity, length: text.length, end: text.slice(-12), attributes: reader.info.attributes });
    });
    c.room.registerByteStreamHandler("e2e.bytes", async (reader, from) => {
      const parts = await reader.readAll();
      const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
      const digest = [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
      c.streams.push({ from: from.identity, name: reader.info.name, mime: reader.info.mimeType, size: bytes.length, digest });
    });
  };
  for (const p of Object.values(ctx.people)) await p.do(5, listen);
  const text = (c, size, to) => c.room.localParticipant.sendText("x".repeat(size) + "and the end.", { topic: "e2e.text", attributes: { of: String(size) }, destinationIdentities: to }).then(() => {});
  for (const from of [ada, blaise]) {
    await from.do(10, text, 120_000);
    for (const p of others(ctx, from)) {
      await until(`${p.name} reads the long text of ${from.name} to its end`, 10, async () => {
        const got = (await p.do(5, (c) => c.streams)).filter((s) => s.from === from.name && s.length === 120_012);
        return (got.length === 1 && got[0].end === "and the end." && got[0].attributes?.of === "120000") || (await p.do(5, (c) => c.streams));
      });
    }
  }
  const file = async (c, size, to) => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, Math.min(size, at + 65_536)));
    const digest = [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
    await c.room.localParticipant.sendFile(new File([bytes], "plan.bin", { type: "application/x-plan" }), { topic: "e2e.bytes", destinationIdentities: to });
    return digest;
  };
  const t0 = Date.now();
  const digest = await dora.do(15, file, 1_000_000, ["cleo"]);
  await until("cleo has dora's file, byte for byte", 15, async () => {
    const got = (await cleo.do(5, (c) => c.streams)).filter((s) => s.from === "dora");
    return (got.length === 1 && got[0].digest === digest && got[0].name === "plan.bin" && got[0].mime === "application/x-plan") || got;
  });
  ctx.report.figure("a file of 1 MB from lyon to marseille", `${Date.now() - t0} ms`);
  for (const p of [ada, blaise]) {
    assert(!(await p.do(5, (c) => c.streams)).some((s) => s.from === "dora"), `${p.name} got a file that was for cleo`);
  }
}

/** Calls between every pair of regions and both kinds of connection, and their errors. */
async function rpc(ctx) {
  for (const p of Object.values(ctx.people)) {
    await p.do(5, (c) => {
      c.room.unregisterRpcMethod("echo");
      c.room.registerRpcMethod("echo", async ({ callerIdentity, payload }) => `${c.room.localParticipant.identity} heard ${callerIdentity}: ${payload.length > 50 ? payload.length : payload}`);
      c.room.registerRpcMethod("fail", async () => {
        throw new window.LivekitClient.RpcError(4711, "on purpose", "more");
      });
    });
  }
  const call = (c, to, method, payload) =>
    c.room.localParticipant.performRpc({ destinationIdentity: to, method, payload, responseTimeout: 8000 }).then(
      (answer) => ({ answer }),
      (err) => ({ code: err.code, message: err.message, data: err.data }),
    );
  for (const from of Object.values(ctx.people)) {
    for (const to of others(ctx, from)) {
      const got = await from.do(10, call, to.name, "echo", "ping");
      assert(got.answer === `${to.name} heard ${from.name}: ping`, `${from.name} calls ${to.name}: ${JSON.stringify(got)}`);
    }
  }
  const { ada, blaise } = ctx.people;
  const long = await blaise.do(10, call, "ada", "echo", "y".repeat(14_000));
  assert(long.answer === "ada heard blaise: 14000", `a long call: ${JSON.stringify(long)}`);
  const failed = await ada.do(10, call, "cleo", "fail", "");
  assert(failed.code === 4711 && failed.data === "more", `the error of the handler: ${JSON.stringify(failed)}`);
  const unknown = await ada.do(10, call, "cleo", "nothing", "");
  assert(unknown.code === 1400, `a method nobody registered: want 1400, got ${JSON.stringify(unknown)}`);
}

/** Name, metadata and attributes: everyone sees them, and a deleted key is gone. */
async function names(ctx) {
  for (const from of [ctx.people.blaise, ctx.people.dora]) {
    await from.do(12, async (c) => {
      const me = c.room.localParticipant;
      await me.setName(`${me.identity} the first`);
      await me.setMetadata(JSON.stringify({ seat: me.identity.length }));
      await me.setAttributes({ colour: "green", hand: "up" });
      await me.setAttributes({ hand: "" });
    });
    for (const p of [from, ...others(ctx, from)]) {
      await until(`${p.name} sees ${from.name}'s name, metadata and attributes`, 6, async () => {
        const got = await p.do(5, (c, who) => {
          const o = c.room.getParticipantByIdentity(who);
          return { name: o.name, metadata: o.metadata, attributes: o.attributes };
        }, from.name);
        const ok = got.name === `${from.name} the first` && got.metadata === JSON.stringify({ seat: from.name.length }) && got.attributes.colour === "green" && !("hand" in got.attributes);
        return ok || got;
      });
    }
  }
}

/** A chat message as components-react sends it: both of its forms come, once each, under one id. */
async function chat(ctx) {
  const { ada, cleo } = ctx.people;
  for (const from of [ada, cleo]) {
    const text = `salut de ${from.name}`;
    await from.do(8, (c, text) => c.room.localParticipant.sendChatMessage(text).then(() => {}), text);
    for (const p of others(ctx, from)) {
      await until(`${p.name} gets the chat message of ${from.name} once`, 8, async () => {
        const got = await p.seen({ type: "chat", from: from.name, text });
        return got.length === 1 || got;
      });
    }
  }
}

/** Frames of a data track, one packet and several, to who subscribed. */
async function dataTracks(ctx) {
  const { ada, blaise, cleo, dora } = ctx.people;
  for (const [from, to] of [[ada, blaise], [cleo, dora], [dora, ada]]) {
    const name = `pose of ${from.name}`;
    await from.do(12, async (c, name) => {
      c.dataTrack = await c.room.localParticipant.publishDataTrack({ name });
    }, name);
    await until(`${to.name} knows the data track of ${from.name}`, 8, () =>
      to.do(5, (c, who, name) => [...c.room.remoteParticipants.get(who).dataTracks.keys()].includes(name), from.name, name),
    );
    await to.do(8, (c, who, name) => {
      c.frames = [];
      const stream = c.room.remoteParticipants.get(who).dataTracks.get(name).subscribe();
      (async () => {
        for await (const { payload } of stream) c.frames.push([payload.length, payload.at(-1)]);
      })().catch((err) => c.frames.push(String(err)));
    }, from.name, name);
    let n = 0;
    await until(`${to.name} gets small and large frames of ${from.name}`, 10, async () => {
      n++;
      await from.do(5, async (c, n) => {
        for (const size of [16, 30_000]) await c.dataTrack.tryPush({ payload: new Uint8Array(size).fill(n) });
      }, n);
      const got = await to.do(5, (c) => c.frames);
      return (got.some(([size, end]) => size === 16 && end > 0) && got.some(([size, end]) => size === 30_000 && end > 0)) || got;
    });
    await from.do(8, (c) => c.dataTrack.unpublish());
    await until(`${to.name} learns that the data track of ${from.name} is gone`, 8, () =>
      to.do(5, (c, who, name) => ![...c.room.remoteParticipants.get(who).dataTracks.keys()].includes(name), from.name, name),
    );
  }
}

/**
 * Messages on many topics at once, of all to all, some of them to one only: each arrives
 * once, under its topic, and in order within what was sent to the same people.
 */
async function topics(ctx) {
  const people = Object.values(ctx.people);
  const many = 40;
  const each = 3;
  const marks = new Map();
  for (const p of people) marks.set(p, await p.mark());
  await Promise.all(people.map((from, at) => {
    const to = people[(at + 1) % people.length].name;
    return from.do(25, async (c, who, many, each, to) => {
      for (let n = 0; n < each; n++) {
        for (let t = 0; t < many; t++) {
          await c.publishData(`${n}`, { reliable: true, topic: `topic ${t}` });
          await c.publishData(`${n}`, { reliable: true, topic: `to one ${t}`, destinationIdentities: [to] });
        }
      }
    }, from.name, many, each, to);
  }));
  for (const [at, from] of people.entries()) {
    for (const p of others(ctx, from)) {
      const chosen = p === people[(at + 1) % people.length];
      const want = (chosen ? 2 : 1) * many;
      await until(`${p.name} gets ${from.name}'s messages, each under its topic`, 20, async () => {
        const got = new Map();
        for (const e of await p.seen({ type: "data", from: from.name }, marks.get(p))) {
          if (/^(topic|to one) /.test(e.topic ?? "")) got.set(e.topic, [...(got.get(e.topic) ?? []), e.text].sort());
        }
        const wrong = [...got].filter(([, texts]) => texts.join() !== "0,1,2");
        return (got.size === want && wrong.length === 0) || { topics: got.size, want, wrong: wrong.slice(0, 5) };
      });
      if (!chosen) continue;
      const order = (await p.seen({ type: "data", from: from.name }, marks.get(p))).filter((e) => /^(topic|to one) /.test(e.topic ?? "")).map((e) => `${e.topic} ${e.text}`);
      const sent = Array.from({ length: each }, (_, n) => Array.from({ length: many }, (_, t) => [`topic ${t} ${n}`, `to one ${t} ${n}`])).flat(2);
      assert(order.join() === sent.join(), `${p.name} gets ${from.name}'s messages in another order: ${order.slice(0, 8)}`);
    }
  }
}

export default [
  { name: "text and byte streams arrive whole", seconds: 60, run: streams },
  { name: "remote calls between all, and their errors", seconds: 60, run: rpc },
  { name: "names, metadata and attributes reach everyone", seconds: 40, run: names },
  { name: "chat messages come once", seconds: 30, run: chat },
  { name: "many topics, to all and to one", seconds: 60, run: topics },
  { name: "data tracks", seconds: 70, run: dataTracks },
];
