package web

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLanguagesAreComplete compares keys and places of every language, and looks for keys
// that the page uses and no language has.
func TestLanguagesAreComplete(t *testing.T) {
	var problems []string
	node(t, `
		import { readdirSync, readFileSync } from "node:fs";
		import { strings } from "./strings.js";
		const problems = [], places = (s) => (s.match(/\{\w+\}/g) || []).sort().join();
		for (const [tag, table] of Object.entries(strings)) {
			for (const key of Object.keys(strings.en)) {
				if (!table[key]) problems.push(tag + " lacks " + key);
				else if (places(table[key]) !== places(strings.en[key])) problems.push(tag + " has other places in " + key);
			}
			for (const key of Object.keys(table)) if (!(key in strings.en)) problems.push("en lacks " + key);
		}
		for (const file of readdirSync(".").filter((f) => /\.(js|html)$/.test(f))) {
			const source = readFileSync(file, "utf8");
			const uses = [...source.matchAll(/\bt\(([^)]*)\)|data-t(?:-label|-hint)?=("\w+")/g)].flatMap(([, call, attribute]) =>
				[...(call || attribute).matchAll(/"(\w+)"/g)].map((m) => m[1]));
			for (const key of uses) if (!(key in strings.en)) problems.push(file + " uses " + key);
		}
		process.stdout.write(JSON.stringify(problems));`, nil, &problems)
	for _, p := range problems {
		t.Error(p)
	}
}

func TestPureParts(t *testing.T) {
	type result struct {
		Language []string
		Failure  []string
		Median   []float64
		Order    []string
		Chat     []string
		Roster   []string
		Floor    []string
		Links    []string
		Stage    []string
		Quality  []string
	}
	var got result
	node(t, `
		import { choose, use, failure } from "./i18n.js";
		import { median, order } from "./regions.js";
		import { write, Reader } from "./chat.js";
		import { Roster, pictures, microphoneOff } from "./roster.js";
		import { encodeData, decodeData } from "./messages.js";
		import { hands, raisedAt, reactions, reactionKeys, readReaction, Tempo, writeReaction } from "./floor.js";
		import { parts } from "./weblinks.js";
		import { arrange, large, Spotlight } from "./stage.js";
		import { incoming, judge, outgoing, path, steady, worst } from "./stats.js";
		const out = {};
		out.Language = [["fr-CA", "en"], ["de", "fr"], ["de"], []].map(choose);
		use("en");
		out.Failure = [{ kind: "left", text: "4" }, { kind: "token", text: "token expired" }, { kind: "left", text: "99" },
			{ kind: "cameraDenied" }].map(failure);
		out.Median = [median([5, 1, 3]), median([4, 1, 3, 2])];
		out.Order = order("http://b:1/", "http://a:1", [{ url: "http://d:1", rtt: NaN }, { url: "http://c:1", rtt: 9 }, { url: "http://b:1", rtt: 1 }]);

		const wire = (p) => decodeData(encodeData({ ...p, participantIdentity: "ada" }));
		const reader = new Reader(), texts = [];
		const hear = (p) => { const m = reader.read(wire(p)); if (m) texts.push(m.from + ": " + m.text.length + " " + m.text.slice(0, 5)); };
		write("é".repeat(8000), "1", 1000).forEach(hear); // chunks that part a letter
		const json = (o) => new TextEncoder().encode(JSON.stringify(o));
		const legacy = { id: "2", timestamp: 1, message: "old" };
		hear({ user: { payload: json(legacy), topic: "lk-chat-topic" } });
		hear({ user: { payload: json(legacy), topic: "lk-chat-topic" } });
		hear({ chatMessage: { id: "3", timestamp: 1, message: "older" } });
		hear({ user: { payload: json({ ...legacy, id: "4" }), topic: "other" } });
		hear({ user: { payload: new Uint8Array([255]), topic: "lk-chat-topic" } });
		hear({ streamHeader: { streamId: "5", topic: "lk.chat", textHeader: {}, inlineContent: new TextEncoder().encode("in one") } });
		hear({ streamHeader: { streamId: "6", topic: "lk.transcription", textHeader: {}, inlineContent: new TextEncoder().encode("no") } });
		out.Chat = texts;

		const info = (identity, sid, more = {}) => ({ identity, sid, state: 2, tracks: [], name: "", version: 1, region: "", attributes: {}, ...more });
		const r = new Roster();
		r.reset(info("me", "PA_0"), [info("ada", "PA_1", { version: 5 })]);
		const log = [];
		const step = (...infos) => { const { joined, left } = r.update(infos); log.push("+" + joined.map((p) => p.name) + " -" + left.map((p) => p.name) + " =" + r.list().map((p) => p.name)); };
		step(info("ada", "PA_1", { version: 4, name: "stale" }));
		step(info("ada", "PA_2", { name: "Ada" })); // rejoined
		step(info("ada", "PA_1", { state: 3 })); // her old session ends late
		step(info("bob", "PA_3"));
		step(info("ada", "PA_2", { state: 3 }));
		step(info("bob", "PA_3", { version: 2, tracks: [{ sid: "TR_s", type: 1, source: 3 }, { sid: "TR_m", type: 0, source: 2 }, { sid: "TR_c", type: 1, source: 1, muted: true }] }));
		const bob = r.people.get("bob");
		log.push(pictures(bob).map((p) => p.key + "=" + p.sid).join(), String(Boolean(microphoneOff(bob))), r.owner("TR_s").name);
		out.Roster = log;

		const bytes = (o) => new TextEncoder().encode(typeof o === "string" ? o : JSON.stringify(o));
		const reaction = (emoji, more = {}) => readReaction(bytes({ type: "reactionReceived", data: { emoji }, ...more }));
		const tempo = new Tempo(), burst = [0, 1, 2, 3, 4, 5].map((at) => tempo.allows("ada", at));
		r.update([info("me", "PA_0", { attributes: { handRaisedAt: "2026-01-01T10:00:05Z" } }), info("bob", "PA_3", { version: 3, attributes: { handRaisedAt: "2026-01-01T10:00:00Z" } })]);
		out.Floor = [
			Object.keys(reactions).map((n) => readReaction(writeReaction(n))).join() === Object.keys(reactionKeys).join() ? "all pass" : "lost",
			[reaction("unknown"), reaction("toString"), reaction("red-heart", { pad: "x".repeat(600) }), reaction("red-heart", { type: "other" }),
				readReaction(bytes("null")), readReaction(bytes("{")), readReaction(new Uint8Array([255]))].join(""),
			[...burst, tempo.allows("bob", 5), tempo.allows("ada", 3001)].map(Number).join(""),
			[{}, { handRaisedAt: "" }, { handRaisedAt: "soon" }, { handRaisedAt: "2026-01-01T00:00:00Z".padEnd(99) }].map(raisedAt).join(),
			hands(r.list()).map((p) => p.name).join(),
		];

		out.Links = ["see https://a.example/x_(y), ok", "(http://a.example)", "www.b.example.", "javascript:alert(1) ftp://a.example https://", "https://bank.example@evil.example/",
			"xhttps://a.example", "<https://é.example/>", "https://a.example/?q=1&r=[2]", "https://localhost:7880/#room=x", "no link"].map((text) => {
			const cut = parts(text);
			return (cut.map((p) => p.text).join("") === text ? "" : "changed ") + cut.filter((p) => p.href).map((p) => p.text + " " + p.href).join();
		});

		const spot = new Spotlight(), voice = (identity, level = 0) => ({ identity, level, speaking: level > 0 });
		const follow = (now, ...people) => spot.follow(people, now);
		const seen = ["me", "ada", "bob"].map((key) => ({ key, screen: false, mine: key === "me" })), shared = { key: "bob/TR_s", screen: true, mine: false };
		out.Stage = [
			[follow(0), follow(0, voice("ada"), voice("bob")), follow(100, voice("ada"), voice("bob", 0.5)), follow(2100, voice("ada"), voice("bob", 0.5)),
				follow(9000, voice("ada", 0.9), voice("bob", 0.1)), follow(9500, voice("ada", 0.9), voice("bob")), follow(9600, voice("bob"))].join(),
			[large(seen, { view: "grid", speaker: "ada" }), large(seen, { view: "speaker", speaker: "ada" }), large([shared, ...seen], { view: "grid" }),
				large([shared, ...seen], { pinned: "me", view: "grid" }), large(seen, { pinned: "gone", view: "grid" }), large([seen[0]], { view: "speaker", speaker: "" })].join("|"),
			JSON.stringify(arrange(3, 984, 532, false)), JSON.stringify(arrange(3, 984, 532, true)), JSON.stringify(arrange(3, 374, 600, true)), JSON.stringify(arrange(1, 374, 600, true)),
		];

		const look = (timestamp, more) => ({ timestamp, kind: "video", frameWidth: 640, frameHeight: 360, ...more });
		const was = look(1000, { framesDecoded: 10, bytesReceived: 1000, packetsReceived: 100, packetsLost: 5, jitterBufferDelay: 1, jitterBufferEmittedCount: 10 });
		const got = incoming(look(3000, { framesDecoded: 40, bytesReceived: 26000, packetsReceived: 190, packetsLost: 15, jitterBufferDelay: 2.5, jitterBufferEmittedCount: 40, totalFreezesDuration: 0.5 }), was);
		const report = new Map([["T", { type: "transport", selectedCandidatePairId: "P" }], ["P", { type: "candidate-pair", currentRoundTripTime: 0.03, localCandidateId: "L" }], ["L", { candidateType: "host", protocol: "tcp" }]]);
		const sent = (timestamp, bytesSent) => new Map([["O", { id: "O", type: "outbound-rtp", timestamp, bytesSent }], ["R", { type: "remote-inbound-rtp", fractionLost: 0.1 }]]);
		out.Quality = [
			[judge({}), judge({ rtt: NaN }), judge({ loss: 0 }), judge({ loss: 0.03, rtt: 10 }), judge({ loss: 0, rtt: 900 }), worst("good", "", "fair")].join(),
			JSON.stringify(got), JSON.stringify(incoming(was)), JSON.stringify(path(report)), JSON.stringify(path(new Map())), JSON.stringify(outgoing(sent(2000, 3000), sent(1000, 1000))),
			[steady(got, { fps: 15, freeze: 0.05 }).freeze, steady(got, { fps: 0, freeze: 0 }).freeze, steady(got).freeze].join(),
		];
		process.stdout.write(JSON.stringify(out));`, nil, &got)
	want := result{
		Language: []string{"fr", "fr", "en", "en"},
		Failure: []string{
			"A moderator removed you from the meeting.", "You are not let in: token expired. Ask for a new invitation.",
			"The meeting ended for you (reason 99). You may join again.",
			"The camera is blocked. Allow it through the icon beside the address, then turn the camera on.",
		},
		Median: []float64{3, 2.5},
		Order:  []string{"http://b:1", "http://a:1", "http://c:1"},
		Chat:   []string{"ada: 8000 ééééé", "ada: 3 old", "ada: 5 older", "ada: 6 in on"},
		Roster: []string{
			"+ - =me,ada", "+ - =me,Ada", "+ - =me,Ada", "+bob - =me,Ada,bob", "+ -Ada =me,bob", "+ - =me,bob",
			"bob/TR_s=TR_s,bob=", "false", "bob",
		},
		Floor: []string{"all pass", "", "11111011", "0,0,0,0", "bob,me"},
		Links: []string{
			"https://a.example/x_(y) https://a.example/x_(y)", "http://a.example http://a.example/", "www.b.example https://www.b.example/",
			"", "", "", "https://é.example/ https://xn--9ca.example/", "https://a.example/?q=1&r=[2] https://a.example/?q=1&r=[2]",
			"https://localhost:7880/#room=x https://localhost:7880/#room=x", "",
		},
		Stage: []string{
			// Bob takes the stage when Ada has held it for a while, and not because she is louder.
			",ada,ada,bob,bob,ada,bob", "|ada|bob/TR_s|me||me",
			`{"tile":465,"side":false}`, `{"tile":200,"side":true,"big":776,"bigHeight":532}`,
			`{"tile":183,"side":false,"big":374,"bigHeight":210}`, `{"tile":183,"big":374,"bigHeight":600,"side":false}`,
		},
		Quality: []string{
			",,good,fair,poor,fair",
			`{"kind":"video","width":640,"height":360,"fps":15,"bitrate":100000,"loss":0.1,"buffer":50,"freeze":0.25}`,
			`{"kind":"video","width":640,"height":360,"fps":null,"bitrate":null,"loss":null,"buffer":100,"freeze":null}`,
			`{"rtt":30,"protocol":"tcp"}`, `{"rtt":null,"protocol":""}`, `{"bitrate":16000,"loss":0.1}`, "0.15,NaN,NaN",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
