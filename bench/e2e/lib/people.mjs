// The four clients of the large meeting: one in each region, and one whose socket lands
// in Paris while it asks for Lyon, so that its signalling is proxied. That one also lets
// the size of its pictures choose the layers, as meeting front ends do. Two of them
// offer one peer connection (/rtc/v1, the default), two keep two (/rtc).
import { nodes } from "./cluster.mjs";
import { open } from "./browser.mjs";
import { within } from "./check.mjs";
import { token } from "./token.mjs";

export const cast = [
  { name: "ada", url: nodes.paris.ws, region: "paris" },
  { name: "blaise", url: nodes.lyon.ws, region: "lyon", v0: true },
  { name: "cleo", url: nodes.marseille.ws, region: "marseille", v0: true },
  { name: "dora", url: `${nodes.paris.ws}?region=lyon`, region: "lyon", adaptiveStream: true },
];

export class Person {
  constructor(view, { name, url, region, v0 = false }) {
    Object.assign(this, { view, name, url, region, v0 });
  }

  static async open(ctx, who) {
    return new Person(await open(who.browser ?? ctx.browser, who.name, ctx.site.url, ctx.out), who);
  }

  /** Opens a page and joins a room, with whatever the page's join takes. */
  static async enter(ctx, room, who, options = {}) {
    const person = await Person.open(ctx, who);
    try {
      person.joined = await person.join(token(room, who.name, who.claims, ctx.key), { adaptiveStream: who.adaptiveStream, ...options });
    } catch (err) {
      ctx.evidenceOf?.(person);
      await person.close();
      throw err;
    }
    return person;
  }

  /** Calls a method of the page's client, for at most the given seconds. */
  ask(seconds, method, ...args) {
    return within(
      `${this.name}: ${method}(${args.map((a) => JSON.stringify(a)).join(", ").slice(0, 120)})`,
      seconds,
      this.view.page.evaluate(([m, a]) => window.client[m](...a), [method, args]),
    );
  }

  /** Runs a function in the page, with its client and the arguments. */
  do(seconds, fn, ...args) {
    const list = args.map((a) => `, ${JSON.stringify(a)}`).join("");
    return within(
      `${this.name}: ${fn.toString().replace(/\s+/g, " ").slice(0, 160)}`,
      seconds,
      this.view.page.evaluate(`(${fn})(window.client${list})`),
    );
  }

  join(token, options = {}) {
    return this.ask(25, "join", { url: this.url, token, v0: this.v0, ...options });
  }

  received() {
    return this.ask(5, "received");
  }

  mark() {
    return this.ask(5, "mark");
  }

  seen(want, since) {
    return this.ask(5, "seen", want, since);
  }

  close() {
    return this.view.close();
  }
}

/** Everyone but the given one. */
export const others = (ctx, person) => Object.values(ctx.people).filter((p) => p !== person);

/** Every (viewer, publisher) pair. */
export const pairs = (ctx) => Object.values(ctx.people).flatMap((viewer) => others(ctx, viewer).map((from) => [viewer, from]));
