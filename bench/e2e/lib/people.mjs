// The four clients: one in each region, and one whose socket lands in Paris while
// it asks for Lyon, so that its signalling is proxied. That one also lets the size
// of its pictures choose the layers, as meeting front ends do.
import { nodes } from "./cluster.mjs";
import { open } from "./browser.mjs";
import { within } from "./check.mjs";

export const cast = [
  { name: "ada", url: nodes.paris.ws, region: "paris" },
  { name: "blaise", url: nodes.lyon.ws, region: "lyon" },
  { name: "cleo", url: nodes.marseille.ws, region: "marseille" },
  { name: "dora", url: `${nodes.paris.ws}?region=lyon`, region: "lyon", adaptiveStream: true },
];

export class Person {
  constructor(view, { name, url, region }) {
    Object.assign(this, { view, name, url, region });
  }

  static async open(ctx, who) {
    return new Person(await open(ctx.browser, who.name, ctx.site.url, ctx.out), who);
  }

  /** Calls a method of the page's client, for at most the given seconds. */
  ask(seconds, method, ...args) {
    return within(
      `${this.name}: ${method}(${args.map((a) => JSON.stringify(a)).join(", ").slice(0, 120)})`,
      seconds,
      this.view.page.evaluate(([m, a]) => window.client[m](...a), [method, args]),
    );
  }

  join(token, options = {}) {
    return this.ask(25, "join", { url: this.url, token, ...options });
  }

  received() {
    return this.ask(5, "received");
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
