/** Our driver against a real containerd: the connection, and what it keeps (blobs, leases, images, snapshots). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { createServer as createNet } from "node:net";
import { join } from "node:path";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { commitImage } from "../../src/containerd/commit_image.ts";
import { connectContainerd, type OpenContainerd } from "../../src/containerd/connect.ts";
import { blobInfo, deleteBlob, labelBlob, readBlob } from "../../src/containerd/content.ts";
import { digestOf } from "../../src/containerd/digest.ts";
import { imageConfig } from "../../src/containerd/image_config.ts";
import {
  createImage,
  deleteImage,
  findImage,
  getImage,
  listImages,
  updateImage,
} from "../../src/containerd/images.ts";
import { createLease, deleteLease } from "../../src/containerd/leases.ts";
import { architecture, resolveImage } from "../../src/containerd/resolve_image.ts";
import { readRootfsFile } from "../../src/containerd/rootfs_file.ts";
import {
  commitSnapshot,
  listSnapshots,
  prepareSnapshot,
  removeSnapshot,
  snapshotMounts,
  statSnapshot,
  viewSnapshot,
} from "../../src/containerd/snapshots.ts";
import { chooseSnapshotter } from "../../src/containerd/snapshotter.ts";
import { unpackImage } from "../../src/containerd/unpack.ts";
import { userIn } from "../../src/containerd/user.ts";
import { writeBlob } from "../../src/containerd/write_blob.ts";
import { Version } from "../../src/gen/containerd/services/version_pb.ts";
import { busyboxImage, ociLayout } from "./containerd/busybox.ts";
import { failureOf } from "./containerd/failure.ts";
import { startContainerd, type TestContainerd } from "./containerd/server.ts";

const busybox = "docker.io/library/busybox:latest";
const snapshotter = "overlayfs";
let server: TestContainerd;
let containerd: OpenContainerd;

beforeAll(async () => {
  server = await startContainerd();
  containerd = await server.connect();
  await server.importBusybox();
});
afterAll(async () => {
  containerd?.[Symbol.dispose]();
  await server?.stop();
});

interface Listener {
  listen(path: string, done: () => void): unknown;
  close(): unknown;
}

describe("connecting", () => {
  const path = (name: string) => join(server.dir, name);
  const refusal = (address: string, options = {}) => failureOf(connectContainerd({ address, ...options }));
  const listening = async (listener: Listener, name: string) => {
    await new Promise<void>((done) => listener.listen(path(name), done));
    return { [Symbol.dispose]: () => void listener.close() };
  };

  test("tells the version", async () => {
    expect(containerd.version).toMatch(/^v?\d+\.\d+\.\d+/);
    expect(containerd).toMatchObject({ address: server.address, namespace: server.namespace });
    using other = await connectContainerd({ address: `unix://${server.address}` });
    expect(other.namespace).toBe("default");
  });

  test("to nothing tells what is missing, and what to do", async () => {
    expect(await refusal(path("none.sock"))).toEqual({
      reason: "RUNTIME_UNAVAILABLE",
      message: `containerd is not running: there is no socket ${path("none.sock")}`,
      hint: "start containerd, or name its socket with --address",
    });
    writeFileSync(path("file"), "");
    expect((await refusal(path("file"))).message).toBe(
      `containerd is not running: nothing listens on ${path("file")}`,
    );
    expect((await refusal(server.address, { namespace: "a/b" })).reason).toBe("INVALID_ARGUMENT");
  });

  test("to something else tells that it is no containerd", async () => {
    using _one = await listening(
      createHttp((_, response) => response.end("hello")),
      "http.sock",
    );
    using _two = await listening(
      createHttp2((_, response) => response.writeHead(404).end()),
      "http2.sock",
    );
    for (const name of ["http.sock", "http2.sock"]) {
      expect(await refusal(path(name))).toEqual({
        reason: "RUNTIME_UNAVAILABLE",
        message: `what listens on ${path(name)} is no containerd`,
        hint: "name containerd's socket with --address",
      });
    }
  });

  test("can be given up while nobody answers", async () => {
    using _ = await listening(createNet(), "silent.sock");
    const signal = AbortSignal.timeout(100);
    expect((await refusal(path("silent.sock"), { signal })).reason).toBe("CANCELLED");
  });

  test("to a containerd of old is refused", async () => {
    const routes = connectNodeAdapter({
      routes: (router) => router.service(Version, { version: () => ({ version: "1.5.9" }) }),
    });
    using _ = await listening(createHttp2(routes), "old.sock");
    expect(await refusal(path("old.sock"))).toEqual({
      reason: "NOT_SUPPORTED",
      message: "containerd 1.5.9 is too old",
      hint: "update it to 1.6 or newer",
    });
  });
});

describe("a blob", () => {
  const bytes = (size: number) => crypto.getRandomValues(Buffer.alloc(size));
  const large = (size: number) => Buffer.concat(Array.from({ length: size / 65536 }, () => bytes(65536)));
  const mediaType = "application/octet-stream";

  test("of 24 MiB is streamed in and read back", async () => {
    const whole = large(24 * 1024 * 1024);
    const stream = (async function* () {
      for (let at = 0; at < whole.length; at += 1_000_000) yield whole.subarray(at, at + 1_000_000);
    })();
    await using lease = await createLease(containerd);
    const descriptor = await writeBlob(lease.containerd, { mediaType, data: stream });
    expect(descriptor).toEqual({ mediaType, digest: digestOf(whole), size: whole.length });
    expect(Buffer.concat(await Array.fromAsync(readBlob(containerd, descriptor.digest))).equals(whole)).toBe(
      true,
    );
  });

  test("of no bytes is one too", async () => {
    await using lease = await createLease(containerd);
    const { digest, size } = await writeBlob(lease.containerd, { mediaType, data: new Uint8Array() });
    expect({ digest, size }).toEqual({ digest: digestOf(""), size: 0 });
    expect(await Array.fromAsync(readBlob(containerd, digest))).toEqual([]);
  });

  test("may be written again, from bytes or a stream, and then has the labels of both", async () => {
    const data = bytes(100_000);
    const again = async function* () {
      yield data;
    };
    await using lease = await createLease(containerd);
    const { digest } = await writeBlob(lease.containerd, { mediaType, data, labels: { one: "1" } });
    await writeBlob(lease.containerd, { mediaType, data, labels: { two: "2" } });
    await writeBlob(lease.containerd, { mediaType, data: again(), labels: { three: "3" } });
    await labelBlob(containerd, digest, { one: "first" });
    const labels = { one: "first", two: "2", three: "3" };
    expect(await blobInfo(containerd, digest)).toEqual({ digest, size: data.length, labels });
    await deleteBlob(containerd, digest);
    await deleteBlob(containerd, digest);
    expect(await blobInfo(containerd, digest)).toBeUndefined();
  });

  test("that another namespace has is written here as well", async () => {
    const data = bytes(300_000);
    using other = await server.connect(`${server.namespace}-other`);
    await using held = await createLease(other);
    const { digest } = await writeBlob(held.containerd, { mediaType, data });
    expect(await blobInfo(containerd, digest)).toBeUndefined();
    await using lease = await createLease(containerd);
    await writeBlob(lease.containerd, { mediaType, data });
    expect((await blobInfo(containerd, digest))?.size).toBe(data.length);
  });

  test("leaves nothing when its source fails", async () => {
    const failing = async function* () {
      yield bytes(200_000);
      throw new Error("the disk burns");
    };
    const { message } = await failureOf(writeBlob(containerd, { mediaType, data: failing() }));
    expect(message).toBe("cannot write a blob to containerd: the disk burns");
    expect(await server.ctr("content", "active")).not.toContain("cedana-");
  });

  test("can be given up", async () => {
    const endless = async function* () {
      for (;;) {
        yield bytes(65536);
        await Bun.sleep(1);
      }
    };
    const signal = AbortSignal.timeout(200);
    const written = writeBlob(containerd, { mediaType, data: endless(), signal });
    expect((await failureOf(written)).reason).toBe("CANCELLED");
  });

  test("stays for as long as its lease", async () => {
    const lease = await createLease(containerd);
    const { digest } = await writeBlob(lease.containerd, { mediaType, data: bytes(1000) });
    const other = await createLease(containerd);
    await deleteLease(containerd, other.id, { sync: true });
    expect(await blobInfo(containerd, digest)).toBeDefined();
    await deleteLease(containerd, lease.id, { sync: true });
    expect(await blobInfo(containerd, digest)).toBeUndefined();
  });
});

describe("an image", () => {
  test("is found by its short name, and resolved for this host", async () => {
    expect((await listImages(containerd)).map(({ name }) => name)).toContain(busybox);
    expect((await getImage(containerd, "busybox")).name).toBe(busybox);
    const image = await resolveImage(containerd, "busybox");
    expect(image.layers).toHaveLength(2);
    expect(imageConfig(image.configJson)).toMatchObject({ cmd: ["sh"], workingDir: "/srv" });
  });

  test("that is not there is told with how to get it", async () => {
    expect(await findImage(containerd, "none")).toBeUndefined();
    expect(await failureOf(resolveImage(containerd, "none"))).toMatchObject({
      reason: "IMAGE_NOT_FOUND",
      message: `containerd has no image docker.io/library/none:latest in its namespace ${server.namespace}`,
      hint: `pull it with: ctr --namespace ${server.namespace} images pull docker.io/library/none:latest`,
    });
  });

  test("that lacks a part, or is for other hosts, is told", async () => {
    const missing = {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: digestOf("x"),
      size: 1,
    };
    await createImage(containerd, { name: "missing", target: missing });
    expect(await failureOf(resolveImage(containerd, "missing"))).toMatchObject({
      message: `the image missing cannot be used: its part ${digestOf("x")} is missing or no JSON`,
    });
    await deleteImage(containerd, "missing");
  });

  test("is created once, changed, and deleted with its blobs", async () => {
    await using lease = await createLease(containerd);
    const target = await writeBlob(lease.containerd, { mediaType: "text/plain", data: Buffer.from("one") });
    await createImage(containerd, { name: "mine", target, labels: { a: "1" } });
    expect(await failureOf(createImage(containerd, { name: "mine", target }))).toMatchObject({
      reason: "IMAGE_EXISTS",
    });
    const other = await writeBlob(lease.containerd, { mediaType: "text/plain", data: Buffer.from("other") });
    await updateImage(containerd, { name: "mine", target: other, labels: { b: "2" } });
    expect(await getImage(containerd, "mine")).toEqual({
      name: "mine",
      target: other,
      labels: { a: "1", b: "2" },
    });
    await lease[Symbol.asyncDispose]();
    await deleteImage(containerd, "mine", { sync: true });
    await deleteImage(containerd, "mine");
    expect(await blobInfo(containerd, other.digest)).toBeUndefined();
  });

  test("that another client imports is the same", async () => {
    const file = join(server.dir, "busybox.tar");
    writeFileSync(file, ociLayout(busyboxImage(), "localhost/other:1"));
    await server.ctr("images", "import", "--platform", `linux/${architecture}`, file);
    const other = await resolveImage(containerd, "localhost/other:1");
    expect(other.layers).toEqual((await resolveImage(containerd, busybox)).layers);
  });
});

describe("snapshots", () => {
  test("are those of the snapshotter that is asked for, else of one that works", async () => {
    expect(await chooseSnapshotter(containerd)).toBe("overlayfs");
    expect(await chooseSnapshotter(containerd, "native")).toBe("native");
    expect(await failureOf(chooseSnapshotter(containerd, "magic"))).toMatchObject({
      message: "containerd cannot use the snapshotter magic",
      hint: expect.stringContaining("overlayfs"),
    });
    await server.ctr("namespaces", "label", server.namespace, "containerd.io/defaults/snapshotter=native");
    expect(await chooseSnapshotter(containerd)).toBe("native");
    await server.ctr("namespaces", "label", server.namespace, "containerd.io/defaults/snapshotter=");
  });

  test.each([snapshotter, "native"])("of %s: an image is unpacked layer by layer, once", async (each) => {
    const image = await resolveImage(containerd, busybox);
    // The second finds what the first did, or is as fast.
    const [parent, same] = await Promise.all([1, 2].map(() => unpackImage(containerd, image, each)));
    expect(same).toBe(parent ?? "");
    expect(await statSnapshot(containerd, { snapshotter: each, key: parent ?? "" })).toMatchObject({
      kind: "committed",
      parent: image.layers[0]?.diffId,
    });
    expect(await listSnapshots(containerd, each)).toHaveLength(2);

    const key = `view-${each}`;
    const mounts = await viewSnapshot(containerd, { snapshotter: each, key, parent: parent ?? "" });
    expect(readRootfsFile(mounts, "/srv/upper")).toBe("upper\n");
    expect(readRootfsFile(mounts, "/srv/lower")).toBe("lower\n");
    expect(readRootfsFile(mounts, "/srv/gone")).toBeUndefined();
    expect(userIn(mounts, "web")).toEqual({ uid: 1000, gid: 1000, additionalGids: [1000, 1500] });
    await removeSnapshot(containerd, { snapshotter: each, key });
    await removeSnapshot(containerd, { snapshotter: each, key });
    expect(await statSnapshot(containerd, { snapshotter: each, key })).toBeUndefined();
  });

  test("stay when the garbage is collected, for the image's sake", async () => {
    const parent = await unpackImage(containerd, await resolveImage(containerd, busybox), snapshotter);
    await deleteLease(containerd, (await createLease(containerd)).id, { sync: true });
    expect(await statSnapshot(containerd, { snapshotter, key: parent })).toBeDefined();
  });

  test("are prepared, mounted and committed", async () => {
    await using lease = await createLease(containerd);
    const key = { snapshotter, key: "work" };
    const mounts = await prepareSnapshot(lease.containerd, { ...key, parent: "", labels: { a: "b" } });
    expect(await snapshotMounts(containerd, key)).toEqual(mounts);
    expect(await statSnapshot(containerd, key)).toEqual({
      key: "work",
      parent: "",
      kind: "active",
      labels: { a: "b" },
    });
    const { message } = await failureOf(prepareSnapshot(containerd, { ...key, parent: "" }));
    expect(message).toStartWith("cannot prepare the snapshot work: ");
    await commitSnapshot(lease.containerd, { ...key, name: "done" });
    expect(await statSnapshot(containerd, { snapshotter, key: "done" })).toMatchObject({ kind: "committed" });
    await removeSnapshot(containerd, { snapshotter, key: "done" });
  });

  test("that were written to become an image with one more layer", async () => {
    const base = await resolveImage(containerd, busybox);
    const parent = await unpackImage(containerd, base, snapshotter);
    await using lease = await createLease(containerd);
    const key = { snapshotter, key: "written" };
    const [mount] = await prepareSnapshot(lease.containerd, { ...key, parent });
    const upper =
      mount?.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length) ?? "";
    writeFileSync(join(upper, "new"), "new\n");
    const commit = { name: "localhost/committed:1", base, createdBy: "cedana", labels: { from: "test" } };
    await commitImage(containerd, { ...key, ...commit });
    const again = await failureOf(commitImage(containerd, { ...key, ...commit }));
    expect(again.reason).toBe("IMAGE_EXISTS");
    await removeSnapshot(containerd, key);

    const image = await resolveImage(containerd, "localhost/committed:1");
    expect(image.layers.slice(0, 2)).toEqual(base.layers);
    expect(image.labels).toEqual({ from: "test" });
    expect(imageConfig(image.configJson)).toEqual(imageConfig(base.configJson));
    // What only the new image refers to outlives the lease under which it was made.
    await deleteLease(containerd, (await createLease(containerd)).id, { sync: true });
    const chain = await unpackImage(containerd, image, snapshotter);
    const mounts = await viewSnapshot(containerd, { snapshotter, key: "committed", parent: chain });
    expect(readRootfsFile(mounts, "/new")).toBe("new\n");
    expect(readRootfsFile(mounts, "/srv/lower")).toBe("lower\n");
    await removeSnapshot(containerd, { snapshotter, key: "committed" });
    await deleteImage(containerd, "localhost/committed:1", { sync: true });
    expect(await statSnapshot(containerd, { snapshotter, key: chain })).toBeUndefined();
  });
});
