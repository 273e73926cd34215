import { expect, test } from "bun:test";
import { chownSync, closeSync, existsSync, openSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { FIRST_FD, runArchiveWorker } from "../../src/archive/client.ts";
import { openCheckpoint } from "../../src/archive/open.ts";
import { ownIdentity } from "../../src/system/caller.ts";
import { contentOf, failureOf, imageFiles, noise, scratch, writeFolder } from "./archive-fixture.ts";

const command = [process.execPath, resolve(import.meta.dir, "../../src/main.ts"), "__archive"];
const identity = ownIdentity();

test("a worker packs, unpacks by fd, adds checksums and verifies", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const archive = join(work.path, "x");
  const packed = await runArchiveWorker(
    { verb: "pack", folder: images, archive, compression: "lz4", sync: true, label: "x" },
    { command, identity },
  );
  expect(packed.bytes).toBe(statSync(archive).size);

  const out = work.folder("out");
  const fds = [openSync(archive, "r"), openSync(out, "r")];
  const path = (index: number) => `/proc/self/fd/${FIRST_FD + index}`;
  await runArchiveWorker(
    { verb: "unpack", archive: path(0), folder: path(1), label: "x", folderLabel: "out" },
    { command, identity, fds },
  );
  for (const fd of fds) closeSync(fd);
  expect(contentOf(out)).toEqual(imageFiles());

  await runArchiveWorker({ verb: "checksum", folder: images, label: "x" }, { command, identity });
  await runArchiveWorker(
    { verb: "verify", folder: images, label: "x", content: true },
    { command, identity },
  );
});

test("what a worker fails with is thrown as it was", async () => {
  using work = scratch();
  const folder = work.folder("images");
  writeFolder(folder);
  writeFileSync(join(folder, "dump.log"), "short");
  const verify = () =>
    runArchiveWorker({ verb: "verify", folder, label: "/backup/x", content: false }, { command, identity });
  expect(await failureOf(verify)).toMatchObject({
    reason: "CHECKPOINT_CORRUPT",
    message: "checkpoint /backup/x is damaged: dump.log has 5 bytes, not 27",
    hint: "use another checkpoint of this process: this one cannot be restored",
  });
});

test("aborting ends the worker and removes what it wrote", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, { "pages-1.img": noise(96 << 20) });
  const archive = join(work.path, "x");
  const controller = new AbortController();
  const packing = failureOf(() =>
    runArchiveWorker(
      { verb: "pack", folder: images, archive, compression: "gzip", sync: false, label: "x" },
      { command, identity, signal: controller.signal },
    ),
  );
  while (!existsSync(archive)) await Bun.sleep(5);
  controller.abort();
  expect((await packing).reason).toBe("CANCELLED");
  expect(readdirSync(work.path)).toEqual(["images"]);
});

test("a worker that dies is an error, and what it wrote is removed", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const archive = join(work.path, "x");
  const dying = ["sh", "-c", `head -n 1 >/dev/null; : > ${archive}; echo out of memory >&2; kill -KILL $$`];
  const failure = await failureOf(() =>
    runArchiveWorker(
      { verb: "pack", folder: images, archive, compression: "gzip", sync: false, label: "x" },
      { command: dying, identity },
    ),
  );
  expect(failure.message).toBe("the process that should pack x died (SIGKILL)");
  expect(failure.details).toContain("out of memory");
  expect(existsSync(archive)).toBe(false);
});

test("a worker has the rights of its identity and no more", async () => {
  if (identity.uid !== 0) throw new Error("this test needs root: it starts a worker as another user");
  using work = scratch();
  const nobody = { uid: 65534, gid: 65534, groups: [] };
  chownSync(work.path, nobody.uid, nobody.gid);
  const images = work.folder("images");
  writeFolder(images);
  chownSync(images, nobody.uid, nobody.gid);
  // The program that the trampoline starts must be one that uid may read: here, the toolchain's own.
  const script = "exec id -u";
  const failure = await failureOf(() =>
    runArchiveWorker(
      { verb: "verify", folder: images, label: "x", content: false },
      { command: ["sh", "-c", `${script} >&2`], identity: nobody },
    ),
  );
  expect(failure.details).toContain("65534");
});

test("a checkpoint is opened with the caller's rights", async () => {
  if (identity.uid !== 0) throw new Error("this test needs root: it acts as another user");
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const nobody = { uid: 65534, gid: 65534, groups: [] };
  expect((await failureOf(() => openCheckpoint({ path: images, caller: nobody }))).reason).toBe(
    "PERMISSION_DENIED",
  );
});
