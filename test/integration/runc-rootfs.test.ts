/** What a runc container has written goes with its checkpoint, and bundles come as tars. Needs root, runc, CRIU, GNU tar. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listContainers } from "../../src/runc/containers.ts";
import { readMounts } from "../../src/system/mounts.ts";
import { until } from "./client.ts";
import { runcHost } from "./runc/host.ts";

const { daemon, runc } = await runcHost();

const root = () => ["--root", runc.root];
const dumped = async (...args: string[]) => (await daemon.succeed("dump", ...args, "--quiet")).trim();
const statusOf = (id: string) => listContainers(runc.root).containers.find((each) => each.id === id)?.status;
const jidIn = (printed: string) => /job (\S+?),/.exec(printed)?.[1] ?? "";
const inside = (id: string, ...command: string[]) => runc.exec(["exec", id, ...command]);

/** Counts in its own root file system, and has changed more of it. */
const args = [
  "sh",
  "-c",
  "echo kept > /kept; mv /lower /moved; i=0; while :; do i=$((i + 1)); echo $i > /count; sleep 0.05; done",
];

async function counts(id: string): Promise<void> {
  const count = async () => Number((await inside(id, "cat", "/count").catch(() => "0")) || 0);
  await until(`${id} counts`, async () => (await count()) > 0);
  const before = await count();
  await until(`${id} counts on`, async () => (await count()) > before);
}

/** The container's files as they were: new, and gone. */
async function expectFiles(id: string): Promise<void> {
  expect(await inside(id, "cat", "/kept")).toBe("kept\n");
  expect((await inside(id, "ls", "/")).split("\n")).toContain("moved");
  expect((await inside(id, "ls", "/")).split("\n")).not.toContain("lower");
}

async function forgotten(jid: string): Promise<void> {
  await daemon.succeed("job", "kill", jid);
  await until("it is halted", async () => / halted /.test(await daemon.succeed("ps")));
  await daemon.succeed("job", "delete", jid);
  expect(readMounts(process.pid).filter(({ path }) => path.startsWith(daemon.dir))).toEqual([]);
}

test.each([
  ["tar", []],
  ["none", []],
  ["lz4", ["--streams", "2"]],
])(
  "a folder travels as a whole, with %s %p, to a host that has only the original bundle",
  async (codec, more) => {
    const name = `folder-${codec}`;
    const bundle = runc.bundle(name, { args });
    await Bun.write(join(bundle.path, "rootfs/lower"), "lower\n");
    const original = join(runc.dir, `${name}-original`);
    expect(Bun.spawnSync(["cp", "-a", bundle.path, original]).success).toBe(true);
    const id = runc.id(name);
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await counts(id);
    const path = await dumped("runc", id, ...root(), "--rootfs", "--compression", codec, ...more);
    rmSync(join(bundle.path, "rootfs"), { recursive: true });
    const jid = jidIn(
      await daemon.succeed("restore", "runc", "--path", path, ...root(), "--bundle", original),
    );
    await counts(id);
    await expectFiles(id);
    // The bundle is as it was.
    expect(existsSync(join(original, "rootfs/kept"))).toBe(false);
    expect(readFileSync(join(original, "rootfs/lower"), "utf8")).toBe("lower\n");
    // And so again, from the layer that it has now.
    await daemon.succeed("dump", "job", jid, "--rootfs");
    await daemon.succeed("restore", "job", jid);
    await counts(id);
    await expectFiles(id);
    await forgotten(jid);
  },
);

test("of an overlay its upper layer travels, and lies over the original bundle", async () => {
  const bundle = runc.bundle("overlay", { args });
  const [lower, layers] = [join(bundle.path, "lower-rootfs"), join(bundle.path, "layers")];
  const rootfs = join(bundle.path, "rootfs");
  renameSync(rootfs, lower);
  await Bun.write(join(lower, "lower"), "lower\n");
  // What the layer does not hold must not be packed.
  await Bun.write(join(lower, "large"), new Uint8Array(8 << 20).fill(7));
  for (const path of [rootfs, layers, join(layers, "upper"), join(layers, "work")]) mkdirSync(path);
  const options = `lowerdir=${lower},upperdir=${layers}/upper,workdir=${layers}/work`;
  await Bun.$`mount -t overlay -o ${options} overlay ${rootfs}`;
  const id = runc.id("overlay");
  let path: string;
  try {
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await counts(id);
    path = await dumped("runc", id, ...root(), "--rootfs");
  } finally {
    await Bun.$`umount ${rootfs}`;
  }
  expect(statSync(path).size).toBeLessThan(4 << 20);
  rmSync(layers, { recursive: true });
  rmSync(rootfs, { recursive: true });
  renameSync(lower, rootfs);
  const jid = jidIn(await daemon.succeed("restore", "runc", "--path", path, ...root()));
  await counts(id);
  await expectFiles(id);
  expect(existsSync(join(rootfs, "lower"))).toBe(true);
  await daemon.succeed("dump", "job", jid, "--rootfs");
  await daemon.succeed("restore", "job", jid);
  await counts(id);
  await expectFiles(id);
  await forgotten(jid);
});

test.each(["a bundle", "a root file system, as docker export makes it"])(
  "a tar of %s is one",
  async (what) => {
    const name = what === "a bundle" ? "whole-tar" : "export-tar";
    const bundle = runc.bundle(name, {
      args: ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/shared/count; sleep 0.05; done"],
      relative: what !== "a bundle",
    });
    const id = runc.id(name);
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await until("it counts", () => bundle.count() > 0);
    const path = await dumped("runc", id, ...root());
    const tar = join(runc.dir, `${name}.tar`);
    const packed = what === "a bundle" ? ["config.json", "rootfs"] : ["-C", "rootfs", "."];
    expect(Bun.spawnSync(["tar", "-cf", tar, "-C", bundle.path, ...packed]).success).toBe(true);
    rmSync(join(bundle.path, "rootfs"), { recursive: true });
    const jid = jidIn(
      await daemon.succeed("restore", "runc", "-i", `${id}-2`, "--bundle", tar, ...root(), "-d", path),
    );
    expect(statusOf(`${id}-2`)).toBe("running");
    await bundle.goesOn();
    await forgotten(jid);
  },
);

test("what is no tar, and flags that are for others, are told, and nothing is left", async () => {
  const bundle = runc.bundle("wrong");
  const id = runc.id("wrong");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  const path = await dumped("runc", id, ...root(), "--leave-running");
  const none = join(runc.dir, "none.tar");
  await Bun.write(none, "no tar at all");
  const wrong = await daemon.cli([
    "restore",
    "runc",
    "--path",
    path,
    "--id",
    "w2",
    "--bundle",
    none,
    ...root(),
  ]);
  expect([wrong.code, wrong.stderr.split("\n")[0]]).toEqual([
    1,
    `error: cannot unpack ${none}: This does not look like a tar archive`,
  ]);
  const image = await daemon.cli(["dump", "process", String(process.pid), "--rootfs"]);
  expect(image.code).toBe(2);
  const jobless = await daemon.succeed("ps");
  expect(jobless).toBe("No jobs found\n");
  await runc.remove(id);
});

test.each([
  ["shared", "private"],
  ["private", "shared"],
])("what was mounted below a %s mount of the host comes back where that is %s now", async (before, after) => {
  const bundle = runc.bundle(before);
  const id = runc.id(before);
  const mountAs = async (propagation: string) => {
    await Bun.$`mount --bind ${bundle.path} ${bundle.path}`;
    await Bun.$`mount --make-${propagation} ${bundle.path}`;
  };
  await mountAs(before);
  try {
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await until("it counts", () => bundle.count() > 0);
    const path = await dumped("runc", id, ...root());
    await Bun.$`umount ${bundle.path}`;
    await mountAs(after);
    const jid = jidIn(await daemon.succeed("restore", "runc", "--path", path, ...root()));
    await bundle.goesOn();
    await daemon.succeed("job", "kill", jid);
    await until("it is gone", () => statusOf(id) === undefined);
  } finally {
    await Bun.$`umount ${bundle.path}`;
  }
});

test("a bundle whose files are others than they were is told, and is good again when they are back", async () => {
  const bundle = runc.bundle("differs", {
    args: [
      ...["sh", "-c"],
      "echo ab > /tmp/log; exec 3</tmp/log; while :; do i=$((i + 1)); echo $i > /shared/count; sleep 0.05; done",
    ],
  });
  const id = runc.id("differs");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  const path = await dumped("runc", id, ...root());
  const file = join(bundle.path, "rootfs/tmp/log");
  const restore = ["restore", "runc", "--path", path, ...root()];
  for (const [damage, why] of [
    [
      () => writeFileSync(file, "longer\n"),
      "file /tmp/log is now 7 bytes long, and was 3 when the checkpoint was taken",
    ],
    [() => rmSync(file), "file /tmp/log is missing"],
  ] as const) {
    damage();
    expect(await daemon.refuse(...restore)).toContain(
      `cannot restore container ${id}: ${why}\nhint: put the file back`,
    );
    expect(statusOf(id)).toBeUndefined();
  }
  writeFileSync(file, "ab\n");
  await daemon.succeed(...restore);
  await bundle.goesOn();
});
