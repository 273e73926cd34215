import { describe, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { BLOCK } from "../../src/archive/checksums.ts";
import type { Captured } from "../../src/criu/streamer/capture.ts";
import { CedanaError } from "../../src/errors.ts";
import { until } from "./client.ts";
import { type Images, pieces, Streamed } from "./streamed.ts";

const reasonOf = (error: unknown) => (error instanceof CedanaError ? error.reason : error);

async function drain(blocks: AsyncIterable<Captured>): Promise<unknown> {
  try {
    for await (const each of blocks) if (each.kind === "block") each.release();
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

describe("a tree with shared memory, pipes with data and files without a name", () => {
  test("is dumped through pipes and restored through pipes", async () => {
    using victim = new Streamed();
    await victim.goesOn();
    const images = await victim.dump();
    for (const blocks of images.values()) {
      expect(blocks.slice(0, -1).every((block) => block.length === BLOCK)).toBe(true);
      expect(blocks.every((block) => block.length > 0 && block.length <= BLOCK)).toBe(true);
    }
    for (const kind of [/^pages-\d+/, /^pagemap-shmem/, /^ghost-file/, /^pipes-data/, /^inventory/])
      expect([...images.keys()].filter((name) => kind.test(name))).not.toBeEmpty();

    const counted = victim.count();
    const whole = new Set<string>();
    let released = 0;
    await using serving = victim.serve(images.keys(), async (name) => {
      const blocks = images.get(name) ?? [];
      return (async function* () {
        yield* pieces(blocks, () => released++);
        whole.add(name);
      })();
    });
    const running = victim.criu("restore", ["-d"]);
    const served = await serving.done;
    expect(await running.exited).toBe(0);
    expect(served.filter(({ early }) => early)).toEqual([]);
    // Each is asked for once, and read to its end.
    expect(served.map(({ name }) => name).sort()).toEqual([...images.keys()].sort());
    expect(whole.size).toBe(images.size);
    expect(released).toBe([...images.values()].flat().length);
    expect(victim.count()).toBeGreaterThanOrEqual(counted);
    await victim.goesOn();
    expect(existsSync(join(victim.dir, "streamer-serve.sock"))).toBe(false);
  });

  test("is dumped with the rights of its user, who alone may reach the socket", async () => {
    using victim = new Streamed(65534);
    await victim.goesOn();
    await using captured = victim.capture();
    const socket = statSync(join(victim.dir, "streamer-capture.sock"));
    expect([socket.uid, socket.mode & 0o777]).toEqual([65534, 0o600]);
    const running = victim.criu("dump", ["-t", `${victim.pid}`, "--leave-running"]);
    expect(await drain(captured.blocks)).toBeUndefined();
    expect(await running.exited).toBe(0);
    await victim.goesOn();
  });
});

describe("a capture", () => {
  test("holds no more than it may, however late its blocks are released and in whichever order", async () => {
    using victim = new Streamed();
    await victim.goesOn();
    await using captured = victim.capture({ memoryLimit: 3 * BLOCK });
    const running = victim.criu("dump", ["-t", `${victim.pid}`, "--leave-running"]);
    const held: Extract<Captured, { kind: "block" }>[] = [];
    let most = 0;
    let large = 0;
    for await (const each of captured.blocks) {
      if (each.kind === "end") continue;
      if (each.bytes.length === BLOCK) large++;
      held.push(each);
      most = Math.max(most, held.filter(({ bytes }) => bytes.length === BLOCK).length);
      // The last first, and only once CRIU has been made to wait.
      if (held.length >= 3) await Bun.sleep(0);
      while (held.length >= 3) held.pop()?.release();
    }
    for (const each of held) each.release();
    expect(await running.exited).toBe(0);
    expect(large).toBeGreaterThan(15);
    expect(most).toBeLessThanOrEqual(3);
    await victim.goesOn();
  });

  test("that is aborted makes CRIU give up, and the process runs on", async () => {
    using victim = new Streamed();
    await victim.goesOn();
    const controller = new AbortController();
    await using captured = victim.capture({ memoryLimit: BLOCK, signal: controller.signal });
    const running = victim.criu("dump", ["-t", `${victim.pid}`]);
    const seen: string[] = [];
    const reading = (async () => {
      for await (const each of captured.blocks) {
        seen.push(each.name);
        if (each.kind === "block" && each.bytes.length === BLOCK) controller.abort(new Error("enough"));
      }
    })();
    expect(reading).rejects.toThrow("enough");
    await reading.catch(() => {});
    expect(await running.exited).not.toBe(0);
    expect(seen).not.toContain("inventory.img");
    await victim.goesOn();
  });

  test("refuses an image of a name that may not be, and the process runs on", async () => {
    using victim = new Streamed();
    await victim.goesOn();
    await using captured = victim.capture({
      accept: (name) => !name.startsWith("pages-"),
      memoryLimit: BLOCK,
    });
    const running = victim.criu("dump", ["-t", `${victim.pid}`]);
    expect(await drain(captured.blocks)).toBe("INVALID_ARGUMENT");
    expect(await running.exited).not.toBe(0);
    await victim.goesOn();
  });

  test("tells a CRIU that died from one that is done", async () => {
    using victim = new Streamed();
    await victim.goesOn();
    await using captured = victim.capture({ memoryLimit: BLOCK });
    const running = victim.criu("dump", ["-t", `${victim.pid}`]);
    const reading = (async () => {
      for await (const each of captured.blocks) {
        if (each.kind === "block" && each.bytes.length === BLOCK) running.kill("SIGKILL");
        if (each.kind === "block") each.release();
      }
    })();
    expect(await reading.catch(reasonOf)).toBe("CRIU_FAILED");
  });

  test("takes nobody's connection but CRIU's user's, and goes on listening", async () => {
    using victim = new Streamed(65534);
    await using captured = victim.capture();
    const path = join(victim.dir, "streamer-capture.sock");
    for (let times = 0; times < 2; times++) {
      const stranger = connect({ path });
      // Closed or reset: which, depends on whether the refusal or the connect is heard of first.
      stranger.on("error", () => {});
      await new Promise((resolve) => stranger.on("close", resolve));
    }
    expect(existsSync(path)).toBe(true);
    await captured[Symbol.asyncDispose]();
    expect(existsSync(path)).toBe(false);
    expect(await drain(captured.blocks)).toBe("CRIU_FAILED");
  });
});

describe("what is not CRIU's protocol", () => {
  test.each([
    ["a request larger than any of CRIU's", [0xff, 0xff, 0, 0]],
    ["a request of another shape", [3, 0, 0, 0, 0x12, 1, 0x61]],
    ["a request without its pipe", [3, 0, 0, 0, 0x0a, 1, 0x61, 0]],
  ])("fails the capture: %s", async (_, bytes) => {
    using victim = new Streamed();
    await using captured = victim.capture();
    const path = join(victim.dir, "streamer-capture.sock");
    const stranger = connect({ path }, () => stranger.write(Uint8Array.from(bytes)));
    stranger.on("error", () => {});
    expect(await drain(captured.blocks)).toBe("INTERNAL");
    stranger.destroy();
  });
});

describe("a restore", () => {
  const restoreWith = async (
    victim: Streamed,
    images: Images,
    spoil: (name: string) => "missing" | "cut" | "short" | undefined,
  ) => {
    const counted = victim.count();
    const there = [...images.keys()].filter((name) => spoil(name) !== "missing");
    await using serving = victim.serve(there, async (name) => {
      const blocks = images.get(name) ?? [];
      const how = spoil(name);
      if (how === "short") return pieces(blocks.slice(0, -1));
      if (how === undefined) return pieces(blocks);
      return (async function* () {
        yield* pieces(blocks.slice(0, -1));
        throw new CedanaError({ reason: "CHECKPOINT_CORRUPT", message: `${name} is damaged` });
      })();
    });
    const running = victim.criu("restore", ["-d"]);
    const outcome = await serving.done.then(() => "served", reasonOf);
    const code = await running.exited;
    await until(`${victim.pid} is gone`, () => !existsSync(`/proc/${victim.pid}`));
    return { outcome, code, ran: victim.count() > counted };
  };

  test.each([
    ["missing", "served"],
    ["short", "served"],
    ["cut", "CHECKPOINT_CORRUPT"],
  ] as const)("from images of which one is %s fails, and nothing runs", async (how, outcome) => {
    using victim = new Streamed();
    await victim.goesOn();
    const images = await victim.dump();
    const largest = [...images].sort((a, b) => b[1].length - a[1].length)[0]?.[0];
    const result = await restoreWith(victim, images, (name) => (name === largest ? how : undefined));
    expect(result).toEqual({ outcome, code: 1, ran: false });
  });
});
