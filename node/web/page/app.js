// The page from the first moment: which room, the form, then the meeting.
import { choose, use, t, translate, failure } from "./i18n.js";
import { Lobby } from "./lobby.js";
import { Meeting } from "./meeting.js";
import { Session } from "./session.js";
import { order } from "./regions.js";

const language = choose(navigator.languages || [navigator.language]);
use(language);
document.documentElement.lang = language;
translate(document);
for (const template of document.querySelectorAll("template")) translate(template.content);

const dev = "dev" in document.documentElement.dataset;

// wish reads the address: /r/name or #room=name, and name, token, region beside it.
function wish() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const path = location.pathname.match(/^\/r\/([^/]+)/);
  return {
    room: hash.get("room") || (path ? readable(path[1]) : ""),
    name: hash.get("name") || "", token: hash.get("token") || "", region: hash.get("region") || "",
  };
}

function readable(part) { try { return decodeURIComponent(part); } catch { return ""; } }

async function token({ room, name, region, token: given }) {
  if (given || !dev) return given;
  let response;
  try {
    response = await fetch("/dev/token", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ room, name, region }),
    });
  } catch {
    throw Object.assign(new Error("no token"), { kind: navigator.onLine ? "unreachable" : "offline" });
  }
  if (!response.ok) {
    throw Object.assign(new Error("no token"), { kind: "tokenFailed", text: (await response.text()).trim() });
  }
  return (await response.json()).token;
}

const lobby = new Lobby({ wish: wish(), needsToken: !dev, onJoin: join });
lobby.show();

async function join(choice) {
  history.replaceState(null, "", `/#${new URLSearchParams({ room: choice.room })}`);
  const meeting = new Meeting({
    room: choice.room,
    onEnd(why) {
      meeting.hide();
      document.title = "maille";
      lobby.show(why ? failure(why) : t("left1"));
    },
  });
  try {
    const session = new Session({
      regions: choice.regions, bases: order(choice.url, location.origin, choice.regions),
      token: await token(choice), region: choice.region, on: meeting.handlers(),
    });
    await meeting.run(session, choice);
  } catch (err) {
    meeting.hide();
    lobby.show(failure(err), true);
  }
}
