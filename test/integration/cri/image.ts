/** An OCI image of busybox, put together by hand: a host that reaches no registry has one so. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeRootfs } from "../runc/bundle.ts";

const mediaType = (name: string) => `application/vnd.oci.image.${name}`;

/** Writes a tar for `ctr image import`, and gives its path. The image runs `command`. */
export async function makeImage(dir: string, name: string, command: string[]): Promise<string> {
  const work = join(dir, "image");
  const blobs = join(work, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  makeRootfs(join(dir, "rootfs"));
  const layerFile = join(dir, "layer.tar");
  await Bun.$`tar -C ${join(dir, "rootfs")} --owner=0 --group=0 -cf ${layerFile} .`.quiet();

  const put = (type: string, bytes: Uint8Array, more: Record<string, unknown> = {}) => {
    const hash = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hash), bytes);
    return { mediaType: mediaType(type), digest: `sha256:${hash}`, size: bytes.length, ...more };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));

  const layer = put("layer.v1.tar", readFileSync(layerFile));
  const config = put(
    "config.v1+json",
    json({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: { Entrypoint: command, Env: ["PATH=/bin"] },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    }),
  );
  const manifest = { schemaVersion: 2, mediaType: mediaType("manifest.v1+json"), config, layers: [layer] };
  const annotations = { "io.containerd.image.name": name };
  const entry = put("manifest.v1+json", json(manifest), { annotations });
  writeFileSync(join(work, "index.json"), json({ schemaVersion: 2, manifests: [entry] }));
  writeFileSync(join(work, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  const path = join(dir, "image.tar");
  await Bun.$`tar -C ${work} -cf ${path} .`.quiet();
  for (const used of [work, join(dir, "rootfs"), layerFile]) rmSync(used, { recursive: true });
  return path;
}
