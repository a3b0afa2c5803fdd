package web

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestComingBack has a node that sends the page away, and others that cannot take it at
// first: a meeting goes on as long as somebody may take it, and what was let go is not
// resumed.
func TestComingBack(t *testing.T) {
	var got []string
	node(t, `
		globalThis.HTMLMediaElement = class {};
		const { Session } = await import("./session.js");
		const { Action } = await import("./messages.js");
		const { encode } = await import("./proto.js");
		const log = [], later = (f) => setTimeout(f, 0);
		globalThis.addEventListener = globalThis.removeEventListener = () => {};
		Object.defineProperty(globalThis, "navigator", { value: { onLine: true } });
		globalThis.fetch = () => Promise.reject(new Error("away"));
		globalThis.RTCPeerConnection = class {
			connectionState = "connected";
			createDataChannel() { return {}; }
			createOffer() { return { sdp: "" }; }
			setLocalDescription() {}
			getStats() { return new Map(); }
			close() {}
		};
		const join = { join: { participant: { sid: "PA_1", identity: "ada" } } }, away = { leave: { reason: 3, action: Action.RECONNECT } };
		const answers = [join, away, null, join];
		globalThis.WebSocket = class {
			static OPEN = 1;
			readyState = 1;
			constructor(url) {
				log.push(url.searchParams.has("reconnect") ? "resume" : "join");
				globalThis.last = this;
				later(() => {
					this.onopen();
					const first = answers.shift();
					if (first) this.say(first);
					else this.onclose();
				});
			}
			say(m) { this.onmessage({ data: encode("SignalResponse", m).slice().buffer }); }
			send() {}
			close() {}
		};
		const end = (why) => {
			process.stdout.write(JSON.stringify([...log, why]));
			process.exit();
		};
		let times = 0;
		const session = new Session({ bases: ["http://paris"], regions: [], token: "", region: "", on: {
			state: (name, why) => {
				if (name === "ended") end("ended: " + why.kind);
				if (name === "connected" && ++times === 2) end("goes on");
			},
			change() {}, media() {}, came() {}, measured() {},
		} });
		await session.start();
		last.say(away);`, nil, &got)
	if diff := cmp.Diff([]string{"join", "join", "join", "join", "goes on"}, got); diff != "" {
		t.Error(diff)
	}
}
