// The buttons of the meeting: what they show, and the keys that press them.
import { t } from "./i18n.js";
import { Source } from "./messages.js";
import { memory } from "./names.js";
import { reactions, reactionKeys } from "./floor.js";
import { Choosers, chime } from "./devices.js";
import { put } from "./tile.js";

const $ = (id) => document.getElementById(id);

// Keys without a modifier, which the person can switch off: speech input types them.
export const keys = {
  m: "microphone", v: "camera", s: "screen", h: "hand", r: "react", c: "chat-toggle", g: "view", n: "network-toggle",
};

export class Controls {
  // acts are functions by the id of a button; react(name) sends a reaction; choose(what) is
  // told of another camera, microphone or speaker.
  constructor(acts, react, choose, gone) {
    const on = (target, kind, act) => target.addEventListener(kind, act, { signal: gone });
    for (const [id, act] of Object.entries(acts)) {
      on($(id), "click", () => {
        if ($("more-menu").contains($(id))) fold($("more-menu"));
        act();
      });
    }
    $("react-menu").replaceChildren(...Object.keys(reactions).map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = reactions[name];
      button.setAttribute("aria-label", t(reactionKeys[name]));
      button.title = t(reactionKeys[name]);
      button.dataset.reaction = name;
      on(button, "click", () => {
        react(name);
        fold($("react-menu"));
      });
      return button;
    }));
    for (const menu of [$("react-menu"), $("more-menu")]) {
      on(menu, "toggle", (event) => { if (event.newState === "open") menu.querySelector("button:not([hidden])").focus(); });
      on(menu, "keydown", (event) => arrows(menu, event));
    }
    on($("devices-close"), "click", () => $("devices").close());
    on($("devices-chime"), "click", chime);
    $("shortcuts").checked = memory.get("shortcuts") !== "off";
    on($("shortcuts"), "change", () => memory.set("shortcuts", $("shortcuts").checked ? "on" : "off"));
    on(document, "keydown", (event) => this.pressed(event));
    this.choosers = new Choosers({
      camera: $("camera-now"), microphone: $("microphone-now"), speaker: $("speaker-now"),
    }, choose, gone);
  }

  // pressed acts on a key, unless the person types or a key of the system is meant.
  pressed(event) {
    if ($("meeting").hidden || !$("shortcuts").checked || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    if (event.target.closest("input, textarea, select, dialog[open], [contenteditable]")) return;
    const id = keys[event.key.toLowerCase()];
    if (!id || $(id).hidden || $(id).disabled) return;
    event.preventDefault();
    $(id).click();
  }

  // openDevices shows which devices run, and lets the person change them.
  openDevices(local) {
    const running = (source) => (local.on(source) ? local.slots.get(source).track : null);
    this.choosers.fill({ camera: running(Source.CAMERA), microphone: running(Source.MICROPHONE) });
    $("devices").showModal();
  }

  draw({ local, self, may }, view, networkOpen) {
    const set = (id, icon, label) => {
      $(id).querySelector("use").setAttribute("href", icon);
      put($(id).querySelector("span"), label);
    };
    const mic = local.on(Source.MICROPHONE), cam = local.on(Source.CAMERA), screen = local.on(Source.SCREEN_SHARE);
    const hand = Boolean(self && self.hand);
    set("microphone", mic ? "#i-mic" : "#i-mic-off", t(mic ? "muteMicrophone" : "unmuteMicrophone"));
    set("camera", cam ? "#i-cam" : "#i-cam-off", t(cam ? "stopCamera" : "startCamera"));
    set("screen", screen ? "#i-screen-off" : "#i-screen", t(screen ? "stopScreen" : "startScreen"));
    set("hand", "#i-hand", t(hand ? "lowerHand" : "raiseHand"));
    set("view", view === "speaker" ? "#i-grid" : "#i-speaker", t(view === "speaker" ? "showGrid" : "showSpeaker"));
    set("network-toggle", "#i-network", t(networkOpen ? "hideNetwork" : "showNetwork"));
    $("microphone").classList.toggle("off", !mic);
    $("camera").classList.toggle("off", !cam);
    $("screen").classList.toggle("live", screen);
    $("hand").classList.toggle("live", hand);
    $("hand").hidden = !may.raise;
    $("react").hidden = !may.talk;
    $("screen").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getDisplayMedia);
  }

  close() {
    for (const id of ["react-menu", "more-menu"]) fold($(id));
    $("devices").close();
  }
}

// fold closes a menu; a browser without popovers shows it always.
function fold(menu) { if ("popover" in menu && menu.matches(":popover-open")) menu.hidePopover(); }

// arrows moves between the buttons of a menu.
function arrows(menu, event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const all = [...menu.querySelectorAll("button:not([hidden])")], at = all.indexOf(document.activeElement);
  event.preventDefault();
  all[(at + step + all.length) % all.length].focus();
}
