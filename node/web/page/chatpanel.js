// The chat beside the tiles.
import { t } from "./i18n.js";
import { parts } from "./weblinks.js";
import { put } from "./tile.js";

const $ = (id) => document.getElementById(id);
const KEPT = 500; // messages on the page

export class ChatPanel {
  // onSay sends a text and returns whether it left; onOpen asks for the panel or its end.
  constructor(onSay, onOpen, gone) {
    this.unread = 0;
    this.rows = new Map(); // by sender and id, for edits
    const on = (id, kind, act) => $(id).addEventListener(kind, act, { signal: gone });
    on("chat-toggle", "click", () => onOpen($("chat").hidden));
    on("chat-close", "click", () => onOpen(false));
    on("chat", "keydown", (event) => { if (event.key === "Escape") onOpen(false); });
    on("text", "keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.submit(onSay);
      }
    });
    on("say", "submit", (event) => {
      event.preventDefault();
      this.submit(onSay);
    });
  }

  submit(onSay) {
    const text = $("text").value.trim();
    if (text && onSay(text)) $("text").value = "";
    $("text").focus();
  }

  open(on) {
    $("chat").hidden = !on;
    if (on) {
      this.unread = 0;
      $("messages").scrollTop = $("messages").scrollHeight;
    }
    this.drawToggle();
  }

  drawToggle() {
    const open = !$("chat").hidden, toggle = $("chat-toggle");
    toggle.setAttribute("aria-expanded", String(open));
    toggle.classList.toggle("unread", this.unread > 0);
    put(toggle.querySelector("span"), open ? t("hideChat") : this.unread ? t("unreadChat", { n: this.unread }) : t("showChat"));
  }

  add({ id, from, text, timestamp, edited }, name, mine) {
    const key = `${from}/${id}`, log = $("messages");
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    const row = this.rows.get(key) || document.createElement("li");
    const head = document.createElement("p"), body = document.createElement("p"), when = document.createElement("time");
    head.className = "from";
    body.className = "body";
    const date = new Date(timestamp || Date.now());
    when.dateTime = date.toISOString();
    when.textContent = date.toLocaleTimeString(navigator.language, { hour: "2-digit", minute: "2-digit" });
    head.append(mine ? t("you", { name }) : name, " ", when, edited ? ` (${t("edited")})` : "");
    body.append(...parts(text).map(({ text: words, href }) => (href ? link(words, href) : words)));
    row.replaceChildren(head, body);
    row.classList.toggle("mine", mine);
    if (!row.isConnected) log.append(row);
    this.rows.set(key, row);
    while (log.children.length > KEPT) {
      const [first] = this.rows.keys();
      this.rows.delete(first);
      log.firstElementChild.remove();
    }
    $("chat-empty").hidden = true;
    if (atEnd || mine) log.scrollTop = log.scrollHeight;
    if ($("chat").hidden && !mine) this.unread++;
    this.drawToggle();
  }

  clear() {
    $("messages").replaceChildren();
    $("chat-empty").hidden = false;
    $("chat").hidden = true;
    $("text").value = "";
    this.rows.clear();
  }
}

// link opens elsewhere, and does not tell there which meeting it comes from.
function link(words, href) {
  const a = document.createElement("a"), hint = document.createElement("span");
  Object.assign(a, { href, target: "_blank", rel: "noopener noreferrer" });
  hint.className = "quiet";
  hint.textContent = ` ${t("newTab")}`;
  a.append(words, hint);
  return a;
}
