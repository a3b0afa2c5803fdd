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
			const uses = [...source.matchAll(/\bt\(([^)]*)\)|data-t(?:-label)?=("\w+")/g)].flatMap(([, call, attribute]) =>
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
	}
	var got result
	node(t, `
		import { choose, use, failure } from "./i18n.js";
		import { median, order } from "./regions.js";
		import { write, Reader } from "./chat.js";
		import { Roster, pictures, microphoneOff } from "./roster.js";
		import { encodeData, decodeData } from "./messages.js";
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
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
