import { expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../src/archive/open.ts";
import { type MoverOptions, startMover } from "../../src/engine/mover/client.ts";
import { move } from "../../src/engine/mover/move.ts";
import { FIRST_FD, type Form, type MoverRequest } from "../../src/engine/mover/protocol.ts";
import { ownIdentity } from "../../src/system/caller.ts";
import { listDir, readArgs, readStat } from "../../src/system/proc.ts";
import { contentOf, failureOf, imageFiles, noise, scratch, writeFolder } from "./archive-fixture.ts";

const identity = ownIdentity();
const nobody = { uid: 65534, gid: 65534, groups: [] };

const formOf = (compression: Form["compression"], streams = 0): Form => ({
  ...{ compression, streams, level: 0, memory: 16 << 20, sync: false },
});
const packing = (folder: string, archive: string, form: Form): MoverRequest => ({
  ...{ verb: "pack", label: "x", folder, to: { kind: "local", path: archive }, form },
});

/** In a process of its own, whatever the size. */
async function inMover(request: MoverRequest, options: MoverOptions): Promise<number> {
  await using mover = await startMover(request, options);
  return await mover.answer;
}

test.each([
  ["in a process of its own", inMover],
  ["wherever it is done faster", async (...args: Parameters<typeof move>) => (await move(...args)).bytes],
])("%s it packs, unpacks by fd, adds checksums and verifies", async (_, act) => {
  for (const compression of ["tar", "lz4"] as const) {
    using work = scratch();
    const images = work.folder("images");
    writeFolder(images);
    const archive = join(work.path, "x");
    const packed = await act(packing(images, archive, formOf(compression)), { identity });
    expect(packed).toBe(statSync(archive).size);

    const out = work.folder("out");
    const fds = [openSync(archive, "r")];
    const from = { kind: "local" as const, path: `/proc/self/fd/${FIRST_FD}` };
    await act({ verb: "unpack", label: "x", from, folder: out, folderLabel: "out" }, { identity, fds });
    expect(contentOf(out)).toEqual(imageFiles());
    await act({ verb: "verify", label: "x", from, content: true }, { identity, fds });
    for (const fd of fds) closeSync(fd);

    await act({ verb: "checksum", folder: images, label: "x" }, { identity });
    const folder = { kind: "local" as const, path: images };
    await act({ verb: "verify", label: "x", from: folder, content: true }, { identity });
  }
});

test("what it fails with is thrown as it was", async () => {
  using work = scratch();
  const folder = work.folder("images");
  writeFolder(folder);
  writeFileSync(join(folder, "dump.log"), "short");
  const from = { kind: "local" as const, path: folder };
  const request: MoverRequest = { verb: "verify", label: "/backup/x", from, content: false };
  for (const act of [inMover, move]) {
    expect(await failureOf(() => act(request, { identity }))).toMatchObject({
      reason: "CHECKPOINT_CORRUPT",
      message: "checkpoint /backup/x is damaged: dump.log has 5 bytes, not 27",
      hint: "use another checkpoint of this process: this one cannot be restored",
    });
  }
});

test.each([
  ["gzip", 0],
  ["zstd", 3],
] as const)("aborting while it packs %s, %d shards, removes what it wrote", async (compression, streams) => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, { "pages-1.img": noise(96 << 20) });
  const to = join(work.path, "x");
  if (streams > 0) work.folder("x");
  const controller = new AbortController();
  const { signal } = controller;
  const failure = failureOf(() =>
    inMover(packing(images, to, formOf(compression, streams)), { identity, signal }),
  );
  const begun = () => existsSync(streams > 0 ? join(to, "img-0.zst") : to);
  while (!begun()) await Bun.sleep(5);
  controller.abort();
  expect((await failure).reason).toBe("CANCELLED");
  expect(streams > 0 ? readdirSync(to) : readdirSync(work.path)).toEqual(streams > 0 ? [] : ["images"]);
});

test("one that dies is an error that says so", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, { "pages-1.img": noise(64 << 20) });
  await using mover = await startMover(packing(images, join(work.path, "x"), formOf("gzip")), { identity });
  const ours = () =>
    listDir("/proc")
      .map(Number)
      .find((pid) => readStat(pid)?.ppid === process.pid && readArgs(pid).includes("__move"));
  while (!existsSync(join(work.path, "x"))) await Bun.sleep(5);
  process.kill(ours() ?? 0, "SIGKILL");
  expect(await failureOf(() => mover.answer)).toMatchObject({
    reason: "INTERNAL",
    message: "the process that should pack x died (SIGKILL)",
    hint: "perhaps the host ran out of memory: see `dmesg`",
  });
});

test("a checkpoint is opened with the caller's rights", async () => {
  if (identity.uid !== 0) throw new Error("this test needs root: it acts as another user");
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  expect((await failureOf(() => openCheckpoint({ path: images, caller: nobody }))).reason).toBe(
    "PERMISSION_DENIED",
  );
});
