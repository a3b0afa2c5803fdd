// The form before the meeting: who, which room, with what, and through which place.
import { millis, t } from "./i18n.js";
import { list, measure } from "./regions.js";
import { capital, memory } from "./names.js";
import { Preview } from "./preview.js";

const $ = (id) => document.getElementById(id);

export class Lobby {
  constructor({ wish, needsToken, onJoin }) {
    this.regions = [];
    this.wanted = wish.region;
    this.onJoin = onJoin;
    $("name").value = wish.name || memory.get("name") || "";
    $("room").value = wish.room || memory.get("room") || "";
    $("token").value = wish.token;
    $("token-part").hidden = !needsToken || Boolean(wish.token);
    this.preview = new Preview();
    $("join").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.measure();
  }

  // show brings the form back, with a sentence about why; problems are errors.
  show(sentence = "", problem = false) {
    document.title = `maille – ${t("joinTitle")}`;
    $("lobby").hidden = false;
    this.busy(false);
    this.say(sentence, problem);
    this.preview.show();
    if (sentence) $("join").querySelector("h1").focus();
    else (["name", "room"].map($).find((input) => !input.value) || $("go")).focus();
  }

  say(sentence, problem) {
    const p = $("problem");
    p.textContent = sentence;
    p.hidden = !sentence;
    p.classList.toggle("calm", !problem);
  }

  busy(on) {
    $("go").disabled = on;
    $("go").textContent = t(on ? "joining" : "join");
  }

  complain(input, key) {
    this.say(t(key), true);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", "problem");
    input.addEventListener("input", () => {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }, { once: true });
    input.focus();
  }

  async submit() {
    const name = $("name").value.trim(), room = $("room").value.trim(), token = $("token").value.trim();
    if (!name) return this.complain($("name"), "nameMissing");
    if (!room) return this.complain($("room"), "roomMissing");
    if (!$("token-part").hidden && !token) return this.complain($("token"), "tokenMissing");
    const microphone = $("with-microphone").checked, camera = $("with-camera").checked;
    memory.set("name", name);
    memory.set("room", room);
    this.say("");
    this.busy(true);
    const chosen = this.chosen();
    return this.onJoin({
      name, room, token, microphone, camera, regions: this.regions, tracks: this.preview.take(),
      url: chosen && chosen.url, region: chosen ? chosen.region : this.wanted,
    });
  }

  chosen() {
    const radio = document.querySelector("input[name=region]:checked");
    return radio ? this.regions[Number(radio.value)] : undefined;
  }

  // measure lists the regions, and fills in how far each is as answers come.
  async measure() {
    this.regions = await list();
    const box = $("region-list");
    box.replaceChildren(...this.regions.map((r, i) => {
      const label = document.createElement("label");
      label.className = "choice";
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "region", value: String(i) });
      radio.addEventListener("change", () => { this.touched = true; });
      const place = document.createElement("span");
      place.textContent = capital(r.region);
      const detail = document.createElement("span");
      detail.className = "detail";
      Object.assign(r, { radio, detail, rtt: NaN });
      describe(r, t("measuring"));
      label.append(radio, place, detail);
      return label;
    }));
    $("regions").hidden = this.regions.length < 2;
    const wanted = this.regions.find((r) => r.region === this.wanted);
    if (wanted) {
      wanted.radio.checked = true;
      this.touched = true;
    }
    await Promise.all(this.regions.map(async (r) => {
      r.rtt = await measure(r.url);
      this.draw(r);
      this.prefer();
    }));
    const best = this.nearest();
    if (best) this.draw(best, true);
  }

  draw(r, nearest = false) {
    const far = Number.isNaN(r.rtt) ? t("away") : millis(r.rtt);
    describe(r, far, nearest ? t("nearest") : "");
  }

  nearest() {
    return this.regions.filter((r) => !Number.isNaN(r.rtt)).sort((a, b) => a.rtt - b.rtt)[0];
  }

  prefer() {
    const best = this.nearest();
    if (best && !this.touched) best.radio.checked = true;
  }
}

// describe names the node, unless it is called like its region, and what is known of it.
function describe(r, ...facts) {
  r.detail.textContent = [r.node === r.region ? "" : r.node, ...facts].filter(Boolean).join(" · ");
}
