package web

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOffersGoOn has a browser that fails to make an offer, or to take an answer: the next
// change is offered all the same, and one that comes while an answer is awaited waits for it.
func TestOffersGoOn(t *testing.T) {
	var got []string
	node(t, `
		let fails = "";
		const attempt = async (what) => { if (fails === what) throw new Error(what); };
		globalThis.RTCPeerConnection = class {
			createDataChannel() { return {}; }
			async createOffer() { await attempt("create"); return { sdp: "" }; }
			setLocalDescription() { return attempt("local"); }
			setRemoteDescription() { return attempt("remote"); }
		};
		console.warn = () => {};
		const { Publisher } = await import("./peers.js");
		const log = [];
		const p = new Publisher([], (m) => log.push("offer " + m.offer.id), () => {});
		for (fails of ["create", "local", ""]) await p.negotiate();
		await p.negotiate();
		log.push("answer");
		await p.answered({ sdp: "", id: 1 });
		await p.steps;
		fails = "remote";
		log.push("bad answer");
		await p.answered({ sdp: "", id: 2 });
		fails = "";
		await p.negotiate();
		process.stdout.write(JSON.stringify(log));`, nil, &got)
	if diff := cmp.Diff([]string{"offer 1", "answer", "offer 2", "bad answer", "offer 3"}, got); diff != "" {
		t.Error(diff)
	}
}
