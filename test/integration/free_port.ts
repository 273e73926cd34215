/** TCP ports for servers that have to be told theirs. */
import { createServer } from "node:net";

/**
 * A port that was free just now. Not of those that the kernel gives to connections (from 32768 on): between here and the
 * server's start, one of another test's might take it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((done) => {
      server.once("error", () => done(false)).listen(port, "127.0.0.1", () => done(true));
    });
    if (!isFree) continue;
    await new Promise((done) => server.close(done));
    return port;
  }
}
