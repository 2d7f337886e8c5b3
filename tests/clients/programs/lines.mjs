// What the client programs in JavaScript share: orders on standard input, a callback, the browser.
//
// An order is a line of JSON, {"do": "call", "with": […]}; so is the answer to it, {"result": …} or
// {"error": …}, with the number of sessions opened so far.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

// Carry out orders until there are no more. `connect` opens a session: { call, close } and
// whatever else the client can do.
// A session that served and then fails is replaced by a new one, once, as applications do.
export async function obey(connect) {
  let session;
  let sessions = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    let answer;
    while (!answer) {
      const isNew = !session;
      try {
        if (isNew) {
          session = await connect();
          sessions += 1;
        }
        answer = { result: await session[order.do](...order.with) };
      } catch (error) {
        await session?.close().catch(() => {});
        session = undefined;
        if (isNew) answer = { error: `${error.name}: ${error.message}` };
      }
    }
    console.log(JSON.stringify({ ...answer, sessions }));
  }
  process.exit(0);
}

// A loopback redirect URI (RFC 8252 §7.3), and the browser that comes back to it.
export class Callback {
  #arrivals = [];
  #waiting = [];

  async listen() {
    const server = createServer((request, response) => {
      response.end();
      const arrived = new URL(request.url, this.redirectUri);
      const wakeUp = this.#waiting.shift();
      if (wakeUp) wakeUp(arrived);
      else this.#arrivals.push(arrived);
    }).listen(0, "localhost");
    await once(server, "listening");
    this.redirectUri = `http://localhost:${server.address().port}/callback`;
  }

  openBrowser(url) {
    spawn(process.env.BROWSER, [String(url)], { stdio: "ignore" });
  }

  // The URL with which the browser came back.
  response() {
    const arrived = this.#arrivals.shift();
    return arrived ?? new Promise((resolve) => this.#waiting.push(resolve));
  }
}
